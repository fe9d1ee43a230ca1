"""Ctrl-C under a run in the terminal: once cancels it, twice does not wait for that."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.__main__ import main
from tests.support.models.silent_server import silence
from tests.support.patience import patience, wait_until
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess, serving
from tests.support.wording.messages import wording

TOOLS = "examples.flaky:sleep,examples.flaky:block,examples.flaky:fail_times"

TASK = "sleep 3600 seconds"

#: A task that swallows its cancellation, so that there is time for a second Ctrl-C.
CLING = "tests.support.own_tools.doomed:cling"

NOTE = "runwright: cancelling; press Ctrl-C again not to wait for its end"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A server that goes on after a failure when it is told to, and its database's folder."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, tools=TOOLS, backoff="600") as server:
        yield server, folder


@pytest.mark.parametrize(("tool", "more"), [("sleep", ""), ("block", ", its thread still runs")])
def test_one_ctrl_c_cancels_the_run_of_this_process(tmp_path: Path, tool: str, more: str) -> None:
    """What was done and what was not is told; a thread that hangs holds nothing up."""
    task = f"2 + 2, then {tool} 3600 seconds"
    with running("run", task, folder=tmp_path, tools=TOOLS) as command:
        command.until("step 1 calculator: ok")
        command.interrupt()
        assert command.ended() == 1
    cut_off = wording("runs.cancelled.changes-nothing", tool=tool)
    assert command.complaints.splitlines() == [NOTE]
    assert command.lines == [
        "run ID",
        wording("terminal.plan"),
        "  step 1 calculator: ok in N ms",
        wording("terminal.cancelling", by="the command line"),
        f"  step 2 {tool}: cancelled in N ms (attempt 1: {cut_off}){more}",
        wording("runs.cancelled.step", tool=tool).replace("of 3", "of 2"),
    ]


def test_two_ctrl_c_leave_the_run_of_this_process_at_once(tmp_path: Path) -> None:
    """Its cancellation is on disk, and the next server carries it out."""
    with running("run", "cling", folder=tmp_path, tools=CLING) as command:
        command.until("plan by")
        assert command.leave() == 130
    assert command.complaints.splitlines() == [
        NOTE,
        "runwright: " + wording("terminal.kept", run_id=command.run_id),
    ]
    with serving(tmp_path, tools=CLING) as server:
        assert server.settled(command.run_id)["status"] == "cancelled"


def test_a_run_in_memory_that_is_left_is_said_to_be_gone(tmp_path: Path) -> None:
    """Nobody looks for it."""
    with running("run", "cling", folder=tmp_path, tools=CLING, database_url="memory://") as command:
        command.until("plan by")
        assert command.leave() == 130
    assert wording("terminal.gone", run_id=command.run_id) in command.complaints


def test_a_tool_that_swallows_its_cancellation_does_not_hold_the_terminal(tmp_path: Path) -> None:
    """Nor when the run has ended."""
    with running("run", "cling", folder=tmp_path, step_timeout="0.3", tools=CLING) as ended:
        assert ended.ended() == 1
    clings = wording("tools.timeout.clinging", tool="cling", seconds=0.3)
    assert ended.lines[-1] == f"failed: {clings}"


@pytest.mark.parametrize("way", ["run", "watch"])
def test_one_ctrl_c_cancels_the_run_of_a_server(
    served: tuple[ServerProcess, Path], way: str
) -> None:
    """Whoever posted it, and whoever watches it."""
    server, folder = served
    argument = TASK if way == "run" else server.post(TASK)
    with running(way, argument, folder=folder) as command:
        command.until("plan by")
        command.interrupt()
        assert command.ended() == 1
    record = server.get(command.run_id)
    assert record["status"] == "cancelled"
    assert command.lines[-1] == record["error"]["message"]
    assert command.complaints.splitlines() == [NOTE]


def test_a_cancellation_that_is_not_heard_does_not_hold_the_terminal(tmp_path: Path) -> None:
    """A second Ctrl-C leaves the run to its server, and says that it was asked for."""
    with (
        serving(tmp_path, tools=TOOLS) as server,
        running("run", TASK, folder=tmp_path, waits={"SERVER": patience()}) as command,
    ):
        command.until("plan by")
        server.kill()
        command.until("does not answer; trying again")
        with silence(httpx.URL(server.url).port or 0) as deaf:
            command.interrupt()
            command.until("press Ctrl-C again")
            # It is asked for its proof first.
            wait_until(lambda: any(b"/health/live" in words for words in deaf.heard))
            command.interrupt()
            assert command.ended() == 130
    left = wording("terminal.server.left", run_id=command.run_id, url=server.url)
    assert left in command.complaints


def test_json_is_the_record_of_the_cancelled_run(tmp_path: Path) -> None:
    """The output stays one document."""
    with (
        serving(tmp_path, tools=TOOLS) as server,
        running("run", TASK, "--json", folder=tmp_path) as command,
    ):
        wait_until(lambda: server.client.get("/runs").json()["runs"])
        time.sleep(patience(2))  # between the server's answer and the first Ctrl-C that is counted
        command.interrupt()
        assert command.ended() == 1
    assert json.loads(command.output)["error"]["type"] == "cancelled"
    assert command.complaints.splitlines() == [NOTE]


def test_ctrl_c_while_it_loads_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second before anything has begun."""

    def loaded(_: list[str] | None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.command.run_command", loaded)
    assert main(["run", "2 + 2"]) == 130
