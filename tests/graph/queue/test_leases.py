"""A fleet that waits: until a lease or a long backoff ends, and for one worker after the other."""

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
from tests.support.servers.fleet import FleetProcesses, WorkerProcess
from tests.support.servers.server_process import runwright, serving

#: What stands for `runwright`.
MODULE = (sys.executable, "-m", "api")

# Each of them takes long. They are tried on Debian's Postgres, too.
pytestmark = [pytest.mark.slow, pytest.mark.lease]


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    """The folder of processes that keep their runs in an empty Postgres database."""
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


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


def test_a_run_goes_on_by_itself_after_a_long_backoff(folder: Path) -> None:
    tools = "examples.flaky:fail_times"
    with FleetProcesses(folder, servers=1, workers=1, tools=tools, backoff="7") as fleet:
        record = fleet.servers[0].settled(fleet.servers[0].post("fail 1 times"))
        assert (record["status"], record["marks"]) == ("completed", [])


def test_a_run_that_kills_three_workers_fails_and_harms_no_other(folder: Path) -> None:
    tools = f"{GATE},tests.support.own_tools.doomed:die"
    with FleetProcesses(folder, servers=1, workers=4, tools=tools) as fleet:
        server, other = fleet.servers[0], fleet.standing("f")
        record = server.settled(server.post("die now"), seconds=120)
        assert record["status"] == "failed"
        assert "3 times in a row" in record["error"]["message"]
        assert [worker.process.poll() for worker in fleet.workers].count(None) == 1
        open_gate(folder, "f")
        assert server.settled(other)["status"] == "completed"


def test_runs_that_are_handed_over_again_and_again_are_not_given_up(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE, grace="0.2") as fleet:
        server, run_id = fleet.servers[0], fleet.standing("g")
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


def test_a_tool_that_blocks_the_loop_for_longer_than_a_lease_keeps_its_run(folder: Path) -> None:
    with FleetProcesses(
        folder, servers=1, workers=2, tools="tests.support.own_tools.doomed:freeze"
    ) as fleet:
        server = fleet.servers[0]
        record = server.settled(server.post("freeze for 8 seconds"))
        assert record["status"] == "completed"
        assert record["marks"] == []
        assert [worker.process.poll() for worker in fleet.workers] == [None, None]


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
