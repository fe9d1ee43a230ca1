"""A fleet over one Postgres: any process may die or stand still, and any takes orders."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.deployment import deployment_page as page
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import FleetProcesses, WorkerProcess, frozen
from tests.support.servers.server_process import runwright, serving

#: What stands for `runwright`.
MODULE = (sys.executable, "-m", "api")

#: Three effects, with a gate in the middle at which a test stops the run.
PROMPT = "add bread to my list, then pass gate {name}, then add jam to my list"


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    """The folder of processes that keep their runs in an empty Postgres database."""
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def standing(fleet: FleetProcesses, name: str) -> str:
    """A run that stands at its gate."""
    server = fleet.servers[0]
    run_id = server.post(PROMPT.format(name=name))
    server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
    return run_id


def at_gate(fleet: FleetProcesses) -> tuple[str, WorkerProcess, WorkerProcess]:
    """A run that stands at its gate, the worker that executes it, and the other one."""
    run_id = standing(fleet, "a")
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


def test_a_worker_that_is_told_to_end_takes_no_further_run(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE, grace="3600") as fleet:
        [server], worker = fleet.servers, fleet.workers.pop()
        first = standing(fleet, "a")
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
        run_id = one.post(PROMPT.format(name="b"))
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


@pytest.mark.lease
@pytest.mark.slow
def test_a_run_in_a_long_backoff_is_at_no_worker_and_none_is_missed(
    folder: Path, postgres: PostgresServer
) -> None:
    tools = "examples.flaky:fail_times"
    with FleetProcesses(folder, servers=1, workers=1, tools=tools, backoff="3600") as fleet:
        [server] = fleet.servers
        hurried, cancelled = server.post("fail 2 times"), server.post("fail 1 times")
        watcher = Watcher(hurried, lambda: server.url)

        def are_parked() -> bool:
            held = "SELECT count(*) FROM runwright.procrastinate_jobs WHERE {}"
            [(waiting,)] = postgres.execute(held.format("status = 'todo' AND scheduled_at > now()"))
            return bool(waiting == 2)

        wait_until(are_parked)
        fleet.replace(0)
        fleet.workers[0].logs("working")
        assert server.end_backoff(hurried).status_code == 200
        # It fails once more, and waits again.
        server.until(hurried, lambda run: run["execution_log"][1:] and run["current"]["not_before"])
        wait_until(are_parked)
        assert server.client.post(f"/runs/{cancelled}/cancel").json()["status"] == "cancelled"
        assert server.end_backoff(hurried).status_code == 200
        record = server.settled(hurried)
        assert (record["status"], len(record["execution_log"])) == ("completed", 3)
        assert record["marks"] == []
        assert watcher.join()
        assert [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]


def test_a_server_tells_how_many_runs_wait_for_workers(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=0) as fleet:
        [server] = fleet.servers
        server.post("what is 2 + 3")
        server.post("what is 2 + 4")
        assert "\nrunwright_queue_runs 2.0\n" in server.client.get("/metrics").text


@pytest.mark.lease
@pytest.mark.slow
def test_a_run_goes_on_by_itself_after_a_long_backoff(folder: Path) -> None:
    tools = "examples.flaky:fail_times"
    with FleetProcesses(folder, servers=1, workers=1, tools=tools, backoff="7") as fleet:
        record = fleet.servers[0].settled(fleet.servers[0].post("fail 1 times"))
        assert (record["status"], record["marks"]) == ("completed", [])


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


def test_a_worker_that_lost_one_run_ends_that_one_alone(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE) as fleet:
        server, [worker] = fleet.servers[0], fleet.workers
        lost, kept = standing(fleet, "d"), standing(fleet, "e")
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


@pytest.mark.lease
@pytest.mark.slow
def test_a_run_that_kills_three_workers_fails_and_harms_no_other(folder: Path) -> None:
    tools = f"{GATE},tests.support.own_tools.doomed:die"
    with FleetProcesses(folder, servers=1, workers=4, tools=tools) as fleet:
        server, other = fleet.servers[0], standing(fleet, "f")
        record = server.settled(server.post("die now"), seconds=120)
        assert record["status"] == "failed"
        assert "3 times in a row" in record["error"]["message"]
        assert [worker.process.poll() for worker in fleet.workers].count(None) == 1
        open_gate(folder, "f")
        assert server.settled(other)["status"] == "completed"


@pytest.mark.lease
@pytest.mark.slow
def test_runs_that_are_handed_over_again_and_again_are_not_given_up(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE, grace="0.2") as fleet:
        server, run_id = fleet.servers[0], standing(fleet, "g")
        for _ in range(4):
            following = fleet.start()
            following.logs("working")
            before = fleet.workers.pop()
            before.signal(signal.SIGTERM)
            assert before.ended() == 0
            fleet.workers.append(following)
            assert run_id in following.logs("run taken up")
        open_gate(folder, "g")
        assert server.settled(run_id)["status"] == "completed"


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


@pytest.mark.lease
@pytest.mark.slow
def test_a_tool_that_blocks_the_loop_for_longer_than_a_lease_keeps_its_run(folder: Path) -> None:
    with FleetProcesses(
        folder, servers=1, workers=2, tools="tests.support.own_tools.doomed:freeze"
    ) as fleet:
        server = fleet.servers[0]
        record = server.settled(server.post("freeze for 8 seconds"))
        assert record["status"] == "completed"
        assert record["marks"] == []
        assert [worker.process.poll() for worker in fleet.workers] == [None, None]


@pytest.mark.lease
@pytest.mark.slow
def test_the_page_about_deployment_has_commands_that_make_a_fleet(folder: Path) -> None:
    _, _, migrating, answering, executing, both = page.FLEET.splitlines()
    assert runwright(*command(migrating), folder=folder).returncode == 0
    with (
        serving(folder, (*MODULE, *command(answering))) as server,
        serving(folder, (*MODULE, *command(both))) as other,
    ):
        worker = WorkerProcess(folder, command(executing))
        worker.logs("working")
        assert other.terminate() == 0
        assert server.settled(server.post("what is 2 + 3"))["status"] == "completed"
        worker.kill()


def command(line: str) -> list[str]:
    """The arguments of the command in a line of a page."""
    program, *arguments = line.split("#")[0].split()
    assert program == "runwright"
    return arguments
