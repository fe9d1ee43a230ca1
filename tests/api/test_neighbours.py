"""One owner against the rest: whatever one tries, the others are served as usual.

What the others wait is compared with what they waited just before, on the same server; what the
server's memory grows by is looked at while the attack goes on and after it.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from graph.settings.keys import new_key
from tests.support.checkout import ROOT
from tests.support.patience import wait_until
from tests.support.servers.attacks import ATTACKS
from tests.support.servers.server_process import ServerProcess, http_client, serving

KEYS = {name: new_key(name) for name in ("mallory", "bob")}

#: By what a server may grow in an attack, and what may stay of that, in bytes.
GROWTH, LEFT = 20 * 2**20, 10 * 2**20

#: How many times its usual time a call of another owner may take.
SLOWER = 3

#: Attacks that hold connections and ask for nothing more. The others keep the one loop at work as
#: any busy owner does, so that what the others wait depends on how many processors there are.
HOLDING = {"slow readers of large answers", "idle streams of one owner"}

ROUNDS = 15

LONG = ", then ".join(["calculate 2 + 2"] * 300)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    entries = ",".join(str(kept) for _, kept in KEYS.values())
    with serving(tmp_path, api_keys=entries, max_steps="400") as started:
        yield started


def memory(server: ServerProcess) -> int:
    """What the process has in memory, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def attacked(server: ServerProcess, attack: str) -> Iterator[None]:
    command = (sys.executable, "-m", "tests.support.servers.attacks", attack, server.url)
    with subprocess.Popen(
        [*command, json.dumps(KEYS["mallory"][0])], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as attacker:
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "under way\n"
            yield
            assert attacker.poll() is None, "it gave up"
        finally:
            attacker.kill()


class Other:
    """Another owner, and what the calls of a day take."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def waits(self) -> dict[str, float]:
        """What each call takes, the median, in seconds."""
        calls: dict[str, Callable[[], None]] = {
            "post": self._post,
            "list": self._list,
            "stream": self._stream,
        }
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - began)
        return {name: statistics.median(times) for name, times in taken.items()}

    def read_a_long_run(self) -> None:
        """What a large answer takes once is no growth that an attack makes."""
        long = self._client.post("/runs", json={"prompt": LONG}).json()["run_id"]
        self._client.get(f"/runs/{long}/wait?timeout=60")
        for path in ("", "/events", "/history?limit=100"):
            assert self._client.get(f"/runs/{long}{path}").status_code == 200

    def _post(self) -> None:
        answer = self._client.post("/runs", json={"prompt": "calculate 2 + 2"})
        assert answer.status_code == 201
        self._last = answer.json()["run_id"]

    def _list(self) -> None:
        assert self._client.get("/runs").status_code == 200

    def _stream(self) -> None:
        assert "event: end" in self._client.get(f"/runs/{self._last}/stream").text


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_others_are_served_as_usual(server: ServerProcess, attack: str) -> None:
    with http_client(server.url, headers={"x-api-key": KEYS["bob"][0]}) as client:
        bob = Other(client)
        bob.waits()  # whatever is loaded at the first time is loaded
        bob.read_a_long_run()
        usual = bob.waits()
        before = memory(server)
        with attacked(server, attack):
            during = bob.waits()
            grown = memory(server) - before
        assert grown <= GROWTH
        wait_until(lambda: memory(server) - before <= LEFT)
        if attack in HOLDING:
            slower = {name: during[name] / usual[name] for name in usual}
            assert max(slower.values()) <= SLOWER, slower
