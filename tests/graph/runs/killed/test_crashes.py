"""What a server does when it is killed or stopped: real processes, real signals."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience
from tests.support.servers.server_process import serving
from tests.support.wording.messages import wording

pytestmark = pytest.mark.usefixtures("kept_on")

FLAKY = "examples.flaky:sleep,examples.flaky:fail_times"

DOOMED = "tests.support.own_tools.doomed"


def ok_steps(record: dict[str, Any]) -> list[int]:
    return [entry["step"] for entry in record["execution_log"] if entry["status"] == "ok"]


def five_steps(number: int) -> str:
    return (
        f"add todo first {number}, then sleep 0.15 seconds, then add todo second {number},"
        " then sleep 0.15 seconds, then show my list"
    )


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    """Whenever it is killed, the run completes and nothing that was finished is done twice."""
    before: dict[str, Any] = {}
    listed: list[str] = []
    for number, delay in enumerate([0.0, 0.03, 0.1, 0.2, 0.3, 0.4, None]):
        with serving(tmp_path, tools=FLAKY) as server:
            if before:
                record = server.settled(before["run_id"])
                assert record["status"] == "completed", record["error"]
                assert ok_steps(record) == [1, 2, 3, 4, 5]
                seen = before["execution_log"]
                assert record["execution_log"][: len(seen)] == seen
                listed += [f"first {number - 1}", f"second {number - 1}"]
                assert [todo["text"] for todo in record["result"]["output"]] == listed
                assert len(record["marks"]) <= 1
            if delay is not None:
                run_id = server.post(five_steps(number))
                time.sleep(delay)
                before = server.get(run_id)
                server.kill()


def test_many_runs_in_flight_survive_a_kill(tmp_path: Path) -> None:
    """None is lost, none stays unsettled, no to-do is doubled."""
    with serving(tmp_path, tools=FLAKY) as server:
        ids = [server.post(f"add todo number {n}, then sleep 0.2 seconds") for n in range(40)]
        time.sleep(0.1)
        server.kill()
    with serving(tmp_path, tools=FLAKY) as server:
        records = [server.settled(run_id) for run_id in ids]
        todos = server.settled(server.post("show my list"))["result"]["output"]
    assert {record["status"] for record in records} == {"completed"}
    assert Counter(todo["text"] for todo in todos) == {f"number {n}": 1 for n in range(40)}


def test_a_backoff_goes_on_with_what_was_left_of_it(tmp_path: Path) -> None:
    """A crash in the wait neither repeats the attempt before it nor shortens the wait."""
    with serving(tmp_path, tools=FLAKY, backoff="1.5") as server:
        run_id = server.post("fail 1 times")
        record = server.until(run_id, lambda run: run["execution_log"])
        server.kill()
    with serving(tmp_path, tools=FLAKY, backoff="1.5") as server:
        settled = server.settled(run_id)
    assert settled["status"] == "completed"
    first, second = settled["execution_log"]
    assert first == record["execution_log"][0]
    assert (second["attempt"], second["status"]) == (2, "ok")
    assert second["started_at"] >= first["retry_at"]


def test_sigterm_lets_the_attempt_in_flight_end_and_leaves_the_rest(tmp_path: Path) -> None:
    """Exit code 0, the step under way is recorded, the next server does the others."""
    with serving(tmp_path, tools=GATE, grace="3600") as server:
        run_id = server.post("pass gate one, then add todo after")
        server.until(run_id, lambda run: run["current"])
        server.end_requested()
        server.open_gate("one")
        assert server.ended() == 0
    with serving(tmp_path, tools=GATE) as server:
        record = server.settled(run_id)
    assert record["status"] == "completed"
    assert ok_steps(record) == [1, 2]
    taken_up_at = record["marks"][0]["at"]
    assert record["execution_log"][0]["started_at"] < taken_up_at


def test_a_hung_tool_does_not_delay_the_end(tmp_path: Path) -> None:
    """A thread cannot be killed; the process ends without it, within its grace."""
    with serving(tmp_path, tools=f"{DOOMED}:hang", grace="1") as server:
        run_id = server.post("hang for 3600 seconds")
        server.until(run_id, lambda run: run["current"])
        assert server.terminate() == 0


def test_a_run_that_kills_its_server_is_given_up(tmp_path: Path) -> None:
    """After three starts without a step done it is failed, and others are served again."""
    with serving(tmp_path, tools=f"{DOOMED}:die") as server:
        run_id = server.post("die now")
        server.ended()
    for _ in range(3):
        with serving(tmp_path, tools=f"{DOOMED}:die") as server:
            server.ended()
    with serving(tmp_path, tools=f"{DOOMED}:die") as server:
        record = server.settled(run_id)
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
    assert record["status"] == "failed"
    assert record["error"]["type"] == "internal"
    assert record["error"]["message"] == wording("runs.given-up")
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"] * 3


def test_a_timed_out_blocking_tool_is_told_to_be_running_still(tmp_path: Path) -> None:
    """The run does not wait for it, and does not start it a second time beside itself."""
    step_timeout = f"{patience(1)}"  # which no other step takes
    with serving(
        tmp_path,
        tools=f"{DOOMED}:hang",
        step_timeout=step_timeout,
        backoff="0.05",
    ) as server:
        record = server.settled(server.post("hang for 3600 seconds"))
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
    first, second = record["execution_log"]
    assert (first["status"], first["thread_running"]) == ("timeout", True)
    assert second["error"]["type"] == "StillRunning"
    assert record["status"] == "failed"


def test_a_tool_that_swallows_its_cancellation_does_not_delay_the_end(tmp_path: Path) -> None:
    """Nor does it outlast its timeout: the record says that it may still be running."""
    with serving(tmp_path, tools=f"{DOOMED}:cling", step_timeout="0.3") as server:
        record = server.settled(server.post("cling"))
        assert server.terminate() == 0
    assert record["execution_log"][0]["thread_running"] is True
    assert record["execution_log"][0]["error"]["type"] == "Timeout"
    assert record["error"]["message"] == wording(
        "tools.timeout.clinging", tool="cling", seconds=0.3
    )


def test_hung_tools_do_not_keep_other_runs_from_being_done(tmp_path: Path) -> None:
    """A run that finds no free thread gives up its place and tries again later."""
    with serving(
        tmp_path,
        tools=f"{DOOMED}:hang",
        tool_threads="1",
        max_executing="2",
        step_timeout=f"{patience(1)}",
        backoff="0.1",
    ) as server:
        for _ in range(4):
            server.post("hang for 3600 seconds")
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4


def test_a_run_keeps_the_limits_that_it_was_accepted_with(tmp_path: Path) -> None:
    """Also when the next process has smaller ones."""
    prompt = "sleep 0.5 seconds" + ", then 1 + 1" * 40
    with serving(tmp_path, tools=FLAKY) as server:
        run_id = server.post(prompt)
        server.until(run_id, lambda run: run["current"])
        server.kill()
    with serving(tmp_path, tools=FLAKY, max_steps="2", max_attempts="1") as server:
        record = server.settled(run_id)
    assert record["status"] == "completed", record["error"]
    assert len(record["plan"]["steps"]) == 41
