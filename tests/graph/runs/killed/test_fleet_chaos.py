"""Chaos in a fleet: kills, freezes, cut connections, a restart of Postgres. Nothing lost or twice.

`make soak-chaos` does more of it: CHAOS_RUNS runs and CHAOS_KILLS kills.
"""

import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.patience import patience, wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import FleetProcesses, frozen
from tests.support.servers.server_process import http_client

RUNS, KILLS = int(os.environ.get("CHAOS_RUNS", "60")), int(os.environ.get("CHAOS_KILLS", "3"))
FREEZES, STEPS, WATCHED = 1 + RUNS // 300, 4, 12

#: How long a worker stands still: longer than its lease, s.
STILL = 7.0


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


class Load:
    """Posts runs to the servers in turns, each with a key, until each is accepted."""

    def __init__(self, fleet: FleetProcesses) -> None:
        self._urls = [server.url for server in fleet.servers]
        self.posted: dict[int, str] = {}
        self.watchers: list[Watcher] = []
        self._thread = threading.Thread(target=self._post, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(patience(120))
        assert not self._thread.is_alive()

    def _post(self) -> None:
        for number in range(RUNS):
            words = [f"lay w{number:05}s{step}" for step in range(STEPS)]
            self.posted[number] = self._accepted(", then ".join(words), number)
            if number % max(1, RUNS // WATCHED) == 0:
                self.watchers.append(Watcher(self.posted[number], self._next_url))
            time.sleep(0.05)

    def _accepted(self, prompt: str, number: int) -> str:
        while True:
            try:
                with http_client(self._urls[number % 2]) as client:
                    given = {"Idempotency-Key": f"chaos-{number}"}
                    answer = client.post("/runs", json={"prompt": prompt}, headers=given)
                    if answer.is_success:
                        return str(answer.json()["run_id"])
                    assert answer.status_code in (409, 429, 503), answer.text
            except httpx.TransportError:
                pass
            time.sleep(0.2)

    def _next_url(self) -> str:
        return random.choice(self._urls)


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_in_chaos(
    folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "0.3")
    tools = "tests.support.own_tools.effects:lay"
    with FleetProcesses(folder, servers=2, workers=3, tools=tools) as fleet:
        load = Load(fleet)
        acts = ["kill"] * KILLS + ["freeze"] * FREEZES + ["cut", "restart"]
        random.shuffle(acts)
        kills: list[float] = []
        for act in acts:
            time.sleep(1.5)
            one = random.randrange(len(fleet.workers))
            match act:
                case "kill":
                    kills.append(time.time())
                    fleet.replace(one)
                case "freeze":
                    with frozen(fleet.workers[one]):
                        time.sleep(STILL)
                case "cut":
                    postgres.cut("datname = 'runwright'")
                case "restart":
                    postgres.stop()
                    postgres.start()
            for index, worker in enumerate(fleet.workers):
                if worker.process.poll() is not None:  # it was taken for dead
                    fleet.replace(index)
        load.join()
        expected = [f"w{number:05}s{step}" for number in range(RUNS) for step in range(STEPS)]
        server = fleet.servers[0]
        wait_until(
            lambda: not _unsettled(postgres),
            every=0.5,
            seconds=120,
            otherwise=lambda: str(_unsettled(postgres)) + _logs(fleet),
        )
        for watcher in load.watchers:
            assert watcher.join()
            assert [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]
        records = [server.get(run_id) for run_id in load.posted.values()]
        assert {record["status"] for record in records} == {"completed"}
        assert [*breaches(postgres)] == []
        assert effects(postgres) == expected
        wait_until(lambda: not jobs_left(postgres), every=0.2)
        sys.stdout.write(_takeovers(records, kills))


def _unsettled(postgres: PostgresServer) -> list[str]:
    return [line for line in breaches(postgres) if line.startswith("not settled")]


def _logs(fleet: FleetProcesses) -> str:
    return "\n".join(line for worker in fleet.workers for line in worker.lines[-20:])


def _takeovers(records: list[dict[str, Any]], kills: list[float]) -> str:
    """How long after the last kill before it each run went on elsewhere."""
    marks = [
        datetime.fromisoformat(mark["at"]).timestamp() for one in records for mark in one["marks"]
    ]
    waits = [min(at - kill for kill in kills if kill < at) for at in marks if at > min(kills)]
    median = f"{statistics.median(waits):.1f} s" if waits else "-"
    return f"{len(marks)} times a run was taken over, after {median} in the median\n"
