"""A fleet over one Postgres: any process may die or stand still, and any takes orders."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import FleetProcesses, WorkerProcess, frozen
from tests.support.servers.server_process import serving


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    """The folder of processes that keep their runs in an empty Postgres database."""
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def at_gate(fleet: FleetProcesses) -> tuple[str, WorkerProcess, WorkerProcess]:
    """A run that stands at its gate, the worker that executes it, and the other one."""
    run_id = fleet.standing("a")
    mine, other = sorted(fleet.workers, key=lambda worker: run_id not in worker.took)
    return run_id, mine, other


def to_dos(postgres: PostgresServer) -> list[str]:
    rows = postgres.execute(
        "SELECT value::json->>'text' FROM runwright.store WHERE prefix LIKE 'todo%' ORDER BY 1"
    )
    return [text for (text,) in rows]


def test_a_killed_workers_run_goes_on_elsewhere_and_who_watches_misses_nothing(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=2, workers=2, tools=GATE) as fleet:
        run_id, mine, other = at_gate(fleet)
        urls = [server.url for server in fleet.servers]
        watchers = [Watcher(run_id, lambda url=url: url) for url in urls]
        mine.kill()
        open_gate(folder, "a")
        record = fleet.servers[1].settled(run_id)
        assert record["status"] == "completed"
        assert run_id in other.took
        assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
        for watcher in watchers:
            assert watcher.join()
            assert [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]
    assert to_dos(postgres) == ["bread", "jam"]


@pytest.mark.slow
@pytest.mark.lease
def test_a_worker_that_stood_still_is_refused_and_ends(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=2, tools=GATE) as fleet:
        run_id, mine, other = at_gate(fleet)
        with frozen(mine):
            other.logs("jobs that nobody did")
            open_gate(folder, "a")
            assert fleet.servers[0].settled(run_id)["status"] == "completed"
        assert mine.ended() == 75
        mine.process.poll()
        fleet.workers.remove(mine)
        chain = postgres.execute(
            "SELECT parent_checkpoint_id FROM runwright.checkpoints WHERE thread_id = %s", run_id
        )
        assert len(chain) == len({*chain})
    assert to_dos(postgres) == ["bread", "jam"]


def test_a_worker_that_is_told_to_end_hands_its_run_over(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=2, tools=GATE, grace="0.2") as fleet:
        run_id, mine, other = at_gate(fleet)
        mine.signal(signal.SIGTERM)
        assert mine.ended() == 0
        fleet.workers.remove(mine)
        other.logs("run taken up")
        # It was given back, and not taken from one that is silent: nobody has died of it.
        starts = "SELECT starts FROM runwright.runs WHERE run_id = %s"
        assert postgres.execute(starts, run_id) == [(0,)]
        open_gate(folder, "a")
        assert fleet.servers[0].settled(run_id)["status"] == "completed"


@pytest.mark.slow
@pytest.mark.lease
def test_a_worker_that_is_told_to_end_takes_no_further_run(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE, grace="3600") as fleet:
        [server], worker = fleet.servers, fleet.workers.pop()
        first = fleet.standing("a")
        worker.signal(signal.SIGTERM)
        worker.logs("no more runs are taken")
        second = server.post("add tea to my list")
        open_gate(folder, "a")  # the step ends here, and the rest of the run elsewhere
        assert worker.ended() == 0
        assert worker.took == {first}
        assert server.get(second)["status"] == "pending"
        done = [
            step["step"] for step in server.get(first)["execution_log"] if step["error"] is None
        ]
        assert done == [1, 2]

        fleet.workers.append(fleet.start())
        for run_id in (first, second):
            assert server.settled(run_id)["status"] == "completed"


def test_any_server_takes_orders_about_a_run_that_a_worker_executes(folder: Path) -> None:
    tools = f"{GATE},examples.flaky:fail_times"
    with FleetProcesses(folder, servers=2, workers=1, tools=tools, backoff="3600") as fleet:
        one, other = fleet.servers
        run_id = fleet.standing("b")
        other.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        assert other.client.post(f"/runs/{run_id}/cancel").json()["status"] == "cancelled"
        assert one.get(run_id)["status"] == "cancelled"

        open_gate(folder, "b")
        assert one.client.post(f"/runs/{run_id}/retry").json()["status"] == "pending"
        assert other.settled(run_id)["status"] == "completed"

        body = {"prompt": "add tea to my list", "mode": "plan"}
        waiting = one.client.post("/runs", json=body).json()["run_id"]
        other.until(waiting, lambda run: run["status"] == "waiting")
        assert other.client.post(f"/runs/{waiting}/approve", json={}).status_code == 200
        assert one.settled(waiting)["status"] == "completed"

        failing = one.post("fail 1 times")
        other.until(failing, lambda run: (run.get("current") or {}).get("not_before"))
        assert not (other.end_backoff(failing).json().get("current") or {}).get("not_before")
        assert one.settled(failing)["status"] == "completed"


def test_a_server_tells_how_many_runs_wait_for_workers(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=0) as fleet:
        [server] = fleet.servers
        server.post("what is 2 + 3")
        server.post("what is 2 + 4")
        assert "\nrunwright_queue_runs 2.0\n" in server.client.get("/metrics").text


@pytest.mark.slow
@pytest.mark.lease
def test_runs_of_a_thread_are_executed_in_order_by_whichever_worker(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=2, tools=GATE) as fleet:
        server = fleet.servers[0]
        first = server.post("pass gate c")
        body = {"prompt": "add rice to my list", "thread_id": first}
        second = server.client.post("/runs", json=body).json()["run_id"]
        server.until(first, lambda run: run["status"] == "running")
        assert server.get(second)["status"] == "pending"
        open_gate(folder, "c")
        assert server.settled(second)["status"] == "completed"
        began, ended = server.get(second)["started_at"], server.get(first)["completed_at"]
        assert began >= ended


@pytest.mark.slow
@pytest.mark.lease
def test_a_worker_that_lost_one_run_ends_that_one_alone(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE) as fleet:
        server, [worker] = fleet.servers[0], fleet.workers
        lost, kept = fleet.standing("d"), fleet.standing("e")
        postgres.execute(
            "UPDATE runwright.procrastinate_jobs SET attempts = attempts + 1 WHERE lock = %s", lost
        )
        assert lost in worker.logs("run is executed elsewhere")
        # It is said to have the job at the next attempt, of which it does not know: given back.
        assert lost in worker.logs("run taken up")
        open_gate(folder, "d")
        open_gate(folder, "e")
        records = [server.settled(run_id) for run_id in (lost, kept)]
        assert [record["status"] for record in records] == ["completed", "completed"]
        assert [len(record["marks"]) for record in records] == [1, 0]
        assert worker.process.poll() is None


def test_a_server_may_be_a_worker_too(folder: Path) -> None:
    with (
        serving(folder, workers="1") as one,
        serving(folder, workers="1") as other,
    ):
        posted = [server.post("what is 2 + 3") for server in (one, other)]
        assert [one.settled(run_id)["status"] for run_id in posted] == ["completed"] * 2
        assert [other.settled(run_id)["status"] for run_id in posted] == ["completed"] * 2
        assert one.terminate() == 0
        assert other.settled(other.post("what is 2 + 3"))["status"] == "completed"
