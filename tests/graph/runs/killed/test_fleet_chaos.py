"""Chaos in a fleet: kills, freezes, cut connections, a restart of Postgres. Nothing lost or twice.

`make soak-chaos` does more of it: CHAOS_RUNS runs and CHAOS_KILLS kills.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.patience import wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.fleet import FleetProcesses, Load, frozen

RUNS, KILLS = int(os.environ.get("CHAOS_RUNS", "60")), int(os.environ.get("CHAOS_KILLS", "3"))
FREEZES, STEPS, WATCHED = 1 + RUNS // 300, 4, 12

#: How long a worker stands still: longer than its lease, s.
STILL = 7.0

#: Between two acts, s: they last about as long as it is posted.
PAUSE = max(1.5, 0.1 * RUNS / (KILLS + FREEZES + 2) - STILL / 2)


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_in_chaos(
    folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "0.3")
    tools = "tests.support.own_tools.effects:lay"
    with FleetProcesses(folder, servers=2, workers=3, tools=tools) as fleet:
        load = Load(fleet.servers, RUNS, STEPS, watched=WATCHED)
        acts = ["kill"] * KILLS + ["freeze"] * FREEZES + ["cut", "restart"]
        random.shuffle(acts)
        kills: list[float] = []
        for act in acts:
            time.sleep(PAUSE)
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
        server = fleet.servers[0]
        wait_until(
            lambda: not _unsettled(postgres),
            every=0.5,
            seconds=120 + RUNS / 10,
            otherwise=lambda: str(_unsettled(postgres)) + _logs(fleet),
        )
        for watcher in load.watchers:
            assert watcher.join()
            assert [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]
        records = [server.get(run_id) for run_id in load.posted.values()]
        assert {record["status"] for record in records} == {"completed"}
        assert [*breaches(postgres)] == []
        assert effects(postgres) == load.words
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
