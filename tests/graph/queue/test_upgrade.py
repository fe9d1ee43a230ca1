"""Programs of one minor version side by side: each goes on with what the other one has begun.

What was begun under the one is answered and ended under the other, the earlier as the later one:
whoever rolls an upgrade back has runs of the later one, too.
"""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from graph.storage.postgres.schema import VERSION
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import WorkerProcess
from tests.support.servers.server_process import ServerProcess
from tests.support.stored.programs.earlier import earlier_program

pytestmark = pytest.mark.slow

SETTINGS = {
    "tools": ",".join(
        (
            *(GATE, "examples.flaky:fail_times"),
            *("tests.support.own_tools.uncertain:send", "tests.support.own_tools.effects:lay"),
        )
    ),
    "backoff": "3600",
    "grace": "0.2",
}

#: What stands in the middle when its worker is told to end: two effects, and a gate between.
STANDING = "lay bread, then pass gate a, then lay jam"

#: Gates at which as many runs stand as both workers may have, and runs that come after these.
GATES, BESIDE = "abcdefgh", 12

PARKED = (
    "SELECT count(*) FROM runwright.procrastinate_jobs"
    " WHERE status = 'todo' AND scheduled_at > now()"
)


class Programs:
    """Starts servers and workers of an `earlier` program and of the `present` one."""

    def __init__(self, folder: Path, earlier: Sequence[str]) -> None:
        self._folder = folder
        self._commands: dict[str, Sequence[str]] = {"earlier": earlier, "present": ()}
        self._stack = ExitStack()

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def server(self, which: str) -> ServerProcess:
        program = self._commands[which]
        command = [*program, "serve"] if program else None
        server = ServerProcess(self._folder, command, workers="0", **SETTINGS)
        self._stack.callback(server.kill)
        return server

    def worker(self, which: str, **given: str) -> WorkerProcess:
        worker = WorkerProcess(self._folder, program=self._commands[which], **SETTINGS, **given)
        self._stack.callback(_end, worker)
        worker.logs("working")
        return worker


def _end(worker: WorkerProcess) -> None:
    if worker.process.poll() is None:
        worker.kill()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    folder = tmp_path_factory.mktemp("earlier")
    command = earlier_program(folder)
    loaded = [*command[:-2], "-c", "import graph; print(graph.__file__)"]
    found = subprocess.run(loaded, check=True, capture_output=True, text=True).stdout
    assert found.startswith(str(folder))
    return command


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """One of these tests alone: its tables are made by the one program or the other."""
    with PostgresServer() as postgres:
        yield postgres


@pytest.fixture
def programs(
    database: PostgresServer, earlier: Sequence[str], tmp_path: Path
) -> Iterator[Programs]:
    database.execute("DROP SCHEMA runwright CASCADE")
    with runs_kept_in(tmp_path, database.url), Programs(tmp_path, earlier) as programs:
        yield programs


@pytest.mark.parametrize(("first", "second"), [("earlier", "present"), ("present", "earlier")])
def test_what_was_begun_under_one_program_is_answered_and_ended_under_the_other(
    programs: Programs, database: PostgresServer, tmp_path: Path, first: str, second: str
) -> None:
    servers = programs.server(first), programs.server(second)
    assert database.execute("SELECT number FROM runwright.version") == [(VERSION,)], (
        "the tables have changed: store an earlier program anew that has those of today"
    )
    leaving = programs.worker(first)
    one, other = servers
    asking = one.ask("lay tea")
    doubtful, failing, standing = (
        one.post(task) for task in ("courier ada", "fail 1 times", STANDING)
    )
    watchers = [Watcher(standing, lambda url=server.url: url) for server in servers]
    other.until(doubtful, lambda run: run["status"] == "waiting")
    other.until(standing, lambda run: (run.get("current") or {}).get("step") == 2)
    wait_until(lambda: database.execute(PARKED) == [(1,)])

    staying = programs.worker(second)
    leaving.signal(signal.SIGTERM)
    assert leaving.ended() == 0
    staying.logs("run taken up")
    # Each is answered at the server of another program than it was posted at, or asked there.
    assert other.client.post(f"/runs/{asking}/approve", json={}).status_code == 200
    assert other.client.post(f"/runs/{doubtful}/resolve", json={"as": "skip"}).status_code == 200
    assert other.end_backoff(failing).status_code == 200
    open_gate(tmp_path, "a")
    for run_id in (asking, doubtful, failing, standing):
        records = [server.settled(run_id) for server in servers]
        assert {record["status"] for record in records} == {"completed"}, records
        assert steps(records[0]) == steps(records[1])
    assert [len(one.get(run_id)["execution_log"]) for run_id in (failing, standing)] == [2, 3]
    for watcher in watchers:
        assert watcher.join()
        assert [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]
    assert effects(database) == ["bread", "jam", "tea"]
    assert (list(breaches(database)), jobs_left(database)) == ([], [])


def steps(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a record says of each attempt."""
    told = ("step", "attempt", "tool", "status", "error", "step_key")
    return [tuple(entry.get(name) for name in told) for entry in record["execution_log"]]


def test_workers_of_both_programs_share_the_runs_that_servers_of_both_accept(
    programs: Programs, database: PostgresServer, tmp_path: Path
) -> None:
    servers = [programs.server(which) for which in ("earlier", "present")]
    workers = [programs.worker(which, in_flight="4") for which in ("earlier", "present")]
    held = []
    for name in GATES:  # of several at once the earlier one takes one more than it has places for
        held.append(servers[0].post(f"pass gate {name}"))
        servers[1].until(held[-1], lambda run: run["status"] == "running")
    assert [len(worker.took) for worker in workers] == [4, 4]  # neither has room for more
    runs = [servers[number % 2].post(f"lay {number}") for number in range(BESIDE)]
    for name in GATES:
        open_gate(tmp_path, name)
    for number, run_id in enumerate([*held, *runs]):
        assert servers[number % 2].settled(run_id)["status"] == "completed"
    assert effects(database) == sorted(str(number) for number in range(BESIDE))
    assert (list(breaches(database)), jobs_left(database)) == ([], [])
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0


def test_a_killed_worker_of_one_program_is_found_dead_by_the_other(
    programs: Programs, database: PostgresServer, tmp_path: Path
) -> None:
    server = programs.server("present")
    for turn, (first, second) in enumerate((("earlier", "present"), ("present", "earlier"))):
        name = f"gate{turn}"
        dying = programs.worker(first)
        run_id = server.post(f"lay bread {turn}, then pass gate {name}, then lay jam {turn}")
        server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        heir = programs.worker(second)
        dying.kill()
        open_gate(tmp_path, name)
        record = server.settled(run_id)
        assert record["status"] == "completed"
        assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
        heir.signal(signal.SIGTERM)
        assert heir.ended() == 0
    assert effects(database) == ["bread 0", "bread 1", "jam 0", "jam 1"]
    assert list(breaches(database)) == []
