"""A server that has its Postgres alone and outlives a crash of it builds on nothing that is lost.

What does not wait for the disk is written here after ten seconds, so that all of it is lost.
"""

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.runs.fleet_history import breaches, effects
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import Load
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = f"tests.support.own_tools.effects:lay,{GATE}"

#: Nothing is written to the disk that nobody waits for.
LATE = ("wal_writer_delay=10s", "wal_writer_flush_after=1GB")

#: How many runs stand at a gate, of which some hold a thread there.
STANDING, HOLDING = 12, 3


@pytest.fixture(scope="module")
def late() -> Iterator[PostgresServer]:
    with PostgresServer(*LATE) as server:
        yield server


@pytest.fixture
def postgres(late: PostgresServer, tmp_path: Path) -> Iterator[PostgresServer]:
    with runs_kept_in(tmp_path, late.empty()):
        yield late


def crash(postgres: PostgresServer, server: ServerProcess) -> None:
    """Kill all of its processes, and start it again; the server has noticed when this returns."""
    held = _held(server)
    postgres.kill()
    postgres.start()
    wait_until(lambda: _held(server) > held, otherwise=lambda: "\n".join(server.lines))


def _held(server: ServerProcess) -> int:
    return sum("is held again" in line for line in list(server.lines))


def stand(server: ServerProcess, run_id: str, step: int) -> None:
    server.until(run_id, lambda record: (record["current"] or {}).get("step") == step)


def flush(server: ServerProcess) -> None:
    """Have all on the disk that was written so far: what is accepted comes after it."""
    server.settled(server.post("1 + 1"))


def marks(record: dict[str, Any]) -> Sequence[str]:
    return [mark["what"] for mark in record["marks"]]


def waits_for_its_next_attempt(record: dict[str, Any]) -> bool:
    return "not_before" in (record["current"] or {})


def whole(watcher: Watcher) -> bool:
    assert watcher.join()
    return [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]


def test_runs_are_resumed_from_what_is_stored(postgres: PostgresServer, tmp_path: Path) -> None:
    with serving(tmp_path, tools=TOOLS, in_flight=f"{STANDING}") as server:
        doing = ["hold" if n < HOLDING else "pass" for n in range(STANDING)]
        ids = [
            server.post(f"pass gate f, then lay w{n:02}a, then {does} gate g, then lay w{n:02}b")
            for n, does in enumerate(doing)
        ]
        queued = [server.post(f"lay x{n}") for n in range(3)]
        watchers = [Watcher(run_id, lambda: server.url) for run_id in ids[:: STANDING // 4]]
        server.open_gate("f")  # what follows waits for no disk
        for run_id in ids:
            stand(server, run_id, 3)
        assert len(effects(postgres)) == STANDING

        crash(postgres, server)
        server.open_gate("g")

        records = [server.settled(run_id) for run_id in ids]
        later = [server.settled(run_id) for run_id in queued]
        assert {record["status"] for record in (*records, *later)} == {"completed"}
        assert [*breaches(postgres)] == []
        laid = [f"w{n:02}{part}" for n in range(STANDING) for part in "ab"]
        assert effects(postgres) == [*laid, "x0", "x1", "x2"]
        assert all(map(whole, watchers))
        assert {("taken_up",)} == {tuple(marks(record)) for record in records}
        assert [marks(record) for record in later] == [[], [], []]


def test_a_run_comes_to_wait_again(postgres: PostgresServer, tmp_path: Path) -> None:
    with serving(tmp_path, tools=TOOLS) as server:
        run_id = server.ask("lay w")
        crash(postgres, server)
        server.until(run_id, lambda record: record["status"] == "waiting")
        assert server.client.post(f"/runs/{run_id}/approve").is_success
        assert server.settled(run_id)["status"] == "completed"
        assert ([*breaches(postgres)], effects(postgres)) == ([], ["w"])


def test_an_attempt_that_is_lost_is_made_again(postgres: PostgresServer, tmp_path: Path) -> None:
    tools = f"{TOOLS},examples.flaky:fail_times"
    with serving(tmp_path, tools=tools, backoff="3600") as server:
        run_id = server.post("pass gate f, then fail 1 times, then lay w")
        stand(server, run_id, 1)
        flush(server)
        server.open_gate("f")
        server.until(run_id, waits_for_its_next_attempt)
        crash(postgres, server)
        server.until(
            run_id,
            lambda record: marks(record) == ["taken_up"] and waits_for_its_next_attempt(record),
        )
        server.end_backoff(run_id)
        record = server.settled(run_id)
        assert ([*breaches(postgres)], effects(postgres)) == ([], ["w"])
        assert [made["status"] for made in record["execution_log"]] == ["ok", "error", "ok", "ok"]


def test_a_run_that_is_to_be_cancelled_is_cancelled(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with serving(tmp_path, tools=TOOLS) as server:
        run_id = server.post("pass gate f, then lay w, then pass gate g")
        stand(server, run_id, 1)
        flush(server)
        server.open_gate("f")
        stand(server, run_id, 3)
        held = _held(server)
        postgres.kill()
        refused = server.client.post(f"/runs/{run_id}/cancel")
        postgres.start()
        wait_until(lambda: _held(server) > held)
        server.until(run_id, lambda record: marks(record) == ["taken_up"])
        assert refused.status_code == 503
        assert server.client.post(f"/runs/{run_id}/cancel").is_success
        assert marks(server.get(run_id)) == ["taken_up", "cancel"]
        assert [*breaches(postgres)] == []


def test_runs_of_a_thread_go_on_one_after_the_other(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with serving(tmp_path, tools=TOOLS) as server:

        def post(prompt: str) -> str:
            given = {"prompt": prompt, "thread_name": "t"}
            return str(server.client.post("/runs", json=given).json()["run_id"])

        ids = [post("pass gate f, then lay a, then pass gate g"), *map(post, ["lay b", "lay c"])]
        stand(server, ids[0], 1)
        flush(server)
        server.open_gate("f")
        stand(server, ids[0], 3)
        crash(postgres, server)
        server.open_gate("g")
        records = [server.settled(run_id) for run_id in ids]
        assert ([*breaches(postgres)], effects(postgres)) == ([], ["a", "b", "c"])
        assert [marks(record) for record in records] == [["taken_up"], [], []]
        ends = [record["completed_at"] for record in records]
        begins = [record["started_at"] for record in records]
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_under_load(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "1.5")
    with serving(tmp_path, tools=TOOLS) as server:
        load = Load([server], 60, 4, watched=6)
        for _ in range(3):
            time.sleep(random.uniform(1.0, 3.0))
            crash(postgres, server)
        load.join()
        records = [server.settled(run_id) for run_id in load.posted.values()]
        assert {record["status"] for record in records} == {"completed"}
        assert [*breaches(postgres)] == []
        assert effects(postgres) == load.words
        assert all(map(whole, load.watchers))
        assert [line for line in server.lines if "error id" in line] == []
