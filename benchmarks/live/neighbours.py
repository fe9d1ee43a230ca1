"""What one owner who tries to take the service costs another one.

An attack takes processor time of the machine, too, which is none of the server's doing. So there
is a control: what the calls take on another server, which nobody attacks, in the same minute.
"""

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from benchmarks.server import Server, server
from graph.settings.configured import new_key
from tests.support.servers.attacks import ATTACKS, attacking

#: The attack is stopped and goes on so often, with so many rounds of calls each time.
TURNS, ROUNDS = 6, 5

#: How long it has to come to rest, or to be under way again, in seconds.
REST = 0.2

CALLS = ("post", "list", "stream")

Waits = dict[str, list[float]]


class Trial:
    """An attack on a server, and the calls of another owner, there and on a server without one.

    `waits` are what the calls took, in seconds: usually, while the other server is attacked, and
    while theirs is.
    """

    def __init__(
        self, attacker: subprocess.Popen[str], here: httpx.Client, there: httpx.Client
    ) -> None:
        self._attacker = attacker
        self._here, self._there = here, there
        self.waits: tuple[Waits, ...] = tuple({call: [] for call in CALLS} for _ in range(3))

    def turn(self) -> None:
        """Some rounds of calls of each kind; the attack stands still for the first."""
        usual, control, during = self.waits
        os.kill(self._attacker.pid, signal.SIGSTOP)
        time.sleep(REST)
        _call(self._there, usual)
        os.kill(self._attacker.pid, signal.SIGCONT)
        time.sleep(REST)
        _call(self._there, control)
        _call(self._here, during)

    def medians(self, call: str) -> tuple[float, float, float]:
        """Of a call so far: usually, in the control, and in the attack."""
        usual, control, during = (statistics.median(waits[call]) for waits in self.waits)
        return usual, control, during


def measure() -> dict[str, float]:
    """By attack: how many times its usual time a call of the other takes, and what memory grows by.

    Medians of rounds by turns: usually, while another server is attacked, and while this one is.
    """
    figures: dict[str, float] = {}
    for attack in ATTACKS:
        with trial(attack) as (tried, attacked):
            before = attacked.memory_mb()
            for _ in range(TURNS):
                tried.turn()
            figures[f"{attack}: memory, MB"] = attacked.memory_mb() - before
        for call in CALLS:
            usual, control, during = tried.medians(call)
            figures[f"{attack}: {call} in the control, times its usual"] = control / usual
            figures[f"{attack}: {call} in the attack, times its usual"] = during / usual
    return dict(sorted(figures.items()))


@contextmanager
def trial(attack: str) -> Iterator[tuple[Trial, Server]]:
    """Begin an attack; the trial, and the server that is attacked."""
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
        with attacking(attack, attacked.url, mallory[0]) as attacker:
            yield Trial(attacker, here, there), attacked


def _calling(measured: Server, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=measured.url, headers={"x-api-key": key}, trust_env=False, timeout=60
    )


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
