"""What one owner who tries to take the service costs another one.

An attack takes processor time of the machine, too, which is none of the server's doing. So there
is a control: what the calls take on another server, which nobody attacks, in the same minute.
"""

import json
import os
import signal
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

#: The attack is stopped and goes on so often, with so many rounds of calls each time.
TURNS, ROUNDS = 6, 5

#: How long it has to come to rest, or to be under way again, in seconds.
REST = 0.2

CALLS = ("post", "list", "stream")

Waits = dict[str, list[float]]


def measure() -> dict[str, float]:
    """By attack: how many times its usual time a call of the other takes, and what memory grows by.

    Medians of rounds by turns: usually, while another server is attacked, and while this one is.
    """
    figures: dict[str, float] = {}
    for attack in ATTACKS:
        mallory, bob = new_key("mallory"), new_key("bob")
        settings = {"api_keys": f"{mallory[1]},{bob[1]}", "max_steps": "400"}
        with (
            server(**settings) as attacked,
            server(**settings) as other,
            _calling(attacked, bob[0]) as here,
            _calling(other, bob[0]) as there,
        ):
            for _ in range(TURNS // 2):  # whatever is loaded at the first time is loaded
                _call(here)
                _call(there)
            before = attacked.memory_mb()
            waits = _by_turns(attacked, attack, mallory[0], here, there)
            grown = attacked.memory_mb() - before
        for what, times in (("in the attack", waits[2]), ("in the control", waits[1])):
            for call in CALLS:
                usual, taken = statistics.median(waits[0][call]), statistics.median(times[call])
                figures[f"{attack}: {call} {what}, times its usual"] = taken / usual
        figures[f"{attack}: memory, MB"] = grown
    return figures


def _by_turns(
    attacked: Server, attack: str, key: str, here: httpx.Client, there: httpx.Client
) -> list[Waits]:
    """What calls take usually, in the control, and in the attack."""
    usual, control, during = ({call: [] for call in CALLS} for _ in range(3))
    with _attacked(attacked, attack, key) as attacker:
        for _ in range(TURNS):
            os.kill(attacker.pid, signal.SIGSTOP)
            time.sleep(REST)
            _call(there, usual)
            os.kill(attacker.pid, signal.SIGCONT)
            time.sleep(REST)
            _call(there, control)
            _call(here, during)
        assert attacker.poll() is None, "it gave up"
    return [usual, control, during]


def _calling(measured: Server, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=measured.url, headers={"x-api-key": key}, trust_env=False, timeout=60
    )


@contextmanager
def _attacked(measured: Server, attack: str, key: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.servers.attacks", attack, measured.url]
    with subprocess.Popen(
        [*command, json.dumps(key)], cwd=HERE, stdout=subprocess.PIPE, text=True
    ) as attacker:
        try:
            assert attacker.stdout
            assert attacker.stdout.readline() == "under way\n"
            yield attacker
        finally:
            attacker.kill()


def _call(client: httpx.Client, taken: Waits | None = None) -> None:
    """Make the calls, some rounds of them, and note what each takes, in seconds."""
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
    for _ in range(ROUNDS):
        for name in CALLS:
            began = time.perf_counter()
            calls[name]()
            if taken is not None:
                taken[name].append(time.perf_counter() - began)
