"""What one owner who tries to take the service costs another one."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from benchmarks.server import HERE, Server, server
from graph.settings.keys import new_key
from tests.support.servers.attacks import ATTACKS

ROUNDS = 15

CALLS = ("post", "list", "stream")


def measure() -> dict[str, float]:
    """By attack: how many times its usual time a call of the other takes, and what memory grows by.

    Medians of some rounds, on the same server just before and meanwhile.
    """
    figures: dict[str, float] = {}
    for attack in ATTACKS:
        mallory, bob = new_key("mallory"), new_key("bob")
        entries = f"{mallory[1]},{bob[1]}"
        with (
            server(api_keys=entries, max_steps="400") as measured,
            httpx.Client(
                base_url=measured.url, headers={"x-api-key": bob[0]}, trust_env=False, timeout=60
            ) as client,
        ):
            _waits(client)  # whatever is loaded at the first time is loaded
            usual, before = _waits(client), measured.memory_mb()
            with _attacked(measured, attack, mallory[0]):
                during, grown = _waits(client), measured.memory_mb() - before
        for call in CALLS:
            figures[f"{attack}: {call}, times its usual"] = during[call] / usual[call]
        figures[f"{attack}: memory, MB"] = grown
    return figures


@contextmanager
def _attacked(measured: Server, attack: str, key: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.support.servers.attacks", attack, measured.url]
    with subprocess.Popen(
        [*command, json.dumps(key)], cwd=HERE, stdout=subprocess.PIPE, text=True
    ) as attacker:
        try:
            assert attacker.stdout
            assert attacker.stdout.readline() == "under way\n"
            yield
        finally:
            attacker.kill()


def _waits(client: httpx.Client) -> dict[str, float]:
    """What each call takes, the median, in seconds."""
    last = ""

    def post() -> None:
        nonlocal last
        answer = client.post("/runs", json={"prompt": "calculate 2 + 2"})
        last = answer.raise_for_status().json()["run_id"]

    calls: dict[str, Callable[[], object]] = {
        "post": post,
        "list": lambda: client.get("/runs").raise_for_status(),
        "stream": lambda: client.get(f"/runs/{last}/stream").raise_for_status(),
    }
    taken: dict[str, list[float]] = {name: [] for name in CALLS}
    for _ in range(ROUNDS):
        for name in CALLS:
            began = time.perf_counter()
            calls[name]()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}
