"""One owner or stranger against the rest: whatever one tries, the others are served as usual.

The others are answered while the attack goes on, what the server's memory grows by is looked at
then and after it, and what they wait is compared with what they wait for a server beside it, as
`benchmarks.live`, part `neighbours`, measures it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.live.neighbours import CALLS, trial
from graph.settings.configured import new_key
from tests.support.patience import wait_until
from tests.support.servers.attacks import ATTACKS, attacking
from tests.support.servers.floods import FLOODS
from tests.support.servers.server_process import ServerProcess, http_client, serving

KEYS = {name: new_key(name) for name in ("mallory", "bob")}

#: By what a server may grow in an attack, and what may stay of that, in bytes.
GROWTH, LEFT = 20 * 2**20, 10 * 2**20

ROUNDS = 15

#: How many times as long as beside the attack others may wait in it, and after how many turns.
TIMES, MOST_TURNS = 3, 12

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


def client_of(server: ServerProcess) -> httpx.Client:
    """One that has a connection for each call: none is closed for being idle as the next begins."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return http_client(server.url, headers={"x-api-key": KEYS["bob"][0]}, limits=limits)


class Other:
    """Another owner."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self) -> None:
        """The calls of a day, some rounds of them."""
        for _ in range(ROUNDS):
            answer = self._client.post("/runs", json={"prompt": "calculate 2 + 2"})
            assert answer.status_code == 201
            assert self._client.get("/runs").status_code == 200
            path = f"/runs/{answer.json()['run_id']}/stream"
            assert "event: end" in self._client.get(path).text

    def read_a_long_run(self) -> None:
        """What a large answer takes once is no growth that an attack makes."""
        long = self._client.post("/runs", json={"prompt": LONG}).json()["run_id"]
        self._client.get(f"/runs/{long}/wait?timeout=60")
        for path in ("", "/events", "/history?limit=100"):
            assert self._client.get(f"/runs/{long}{path}").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_others_are_served_as_usual(server: ServerProcess, attack: str) -> None:
    with client_of(server) as client:
        bob = Other(client)
        bob.ask()  # whatever is loaded at the first time is loaded
        bob.read_a_long_run()
        before = memory(server)
        with attacking(attack, server.url, KEYS["mallory"][0]):
            bob.ask()
            grown = memory(server) - before
        assert grown <= GROWTH
        wait_until(lambda: memory(server) - before <= LEFT)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_others_wait_little_longer_than_on_a_server_beside(attack: str) -> None:
    """It takes the machine's time there, too. What others do on it passes, so turns are repeated
    until the medians show it; what a server lets one owner take from another does not pass.
    """
    with trial(attack) as (tried, _):
        for number in range(MOST_TURNS):
            tried.turn()
            medians = [tried.medians(call) for call in CALLS]
            if number and all(during <= TIMES * control for _, control, during in medians):
                return
    pytest.fail(f"usual, control and attack, in seconds: {dict(zip(CALLS, medians, strict=True))}")


def refused_in(lines: list[str]) -> list[str]:
    """What is logged but for the runs that there are."""
    return [line for line in lines if not re.search(" info (run|attempt) ", line)]


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_what_is_refused_fills_neither_memory_nor_the_log(
    server: ServerProcess, flood: str
) -> None:
    """However fast it comes."""
    with client_of(server) as client:
        bob = Other(client)
        bob.ask()
        with attacking(flood, server.url, KEYS["mallory"][0], "floods"):
            bob.ask()  # what it is answered with is loaded
        before, logged = memory(server), len(server.lines)
        with attacking(flood, server.url, KEYS["mallory"][0], "floods"):
            bob.ask()
            assert client.get("/health/live").status_code == 200
            grown = memory(server) - before
        assert grown <= GROWTH
        wait_until(lambda: memory(server) - before <= LEFT)
    server.terminate()
    lines = server.lines[logged:]
    assert not [line for line in lines if " error " in line or "Traceback" in line]
    # One of each kind in a minute, of which there may have been another one; and that it ends.
    assert len(refused_in(lines)) <= 2 * 2 + 2
    assert not [line for line in server.lines for key, _ in KEYS.values() if key in line]
