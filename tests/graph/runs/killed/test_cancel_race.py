"""Three hundred runs, cancelled at whatever moment it comes."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.usefixtures("kept_on")

RUNS = 300
TOOLS = "examples.flaky:sleep,examples.flaky:fail_times"


def prompt(number: int) -> str:
    return (
        f"add todo first {number}, then fail 1 times, then sleep 0.05 seconds,"
        f" then add todo last {number}"
    )


def cancelled_at_some_moment(server: ServerProcess, number: int) -> tuple[str, int]:
    """The run's id, and how its cancellation was answered."""
    run_id = server.post(prompt(number))
    time.sleep(random.Random(number).uniform(0, 0.6))
    return run_id, server.client.post(f"/runs/{run_id}/cancel").status_code


@pytest.mark.slow
def test_every_cancelled_run_ends_once_and_agrees_with_its_log(tmp_path: Path) -> None:
    """Cancelled or completed, never both; nothing goes on afterwards, and effects match the log."""
    with serving(tmp_path, tools=TOOLS, backoff="0.05") as server:
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(lambda n: cancelled_at_some_moment(server, n), range(RUNS)))
        records = [server.settled(run_id) for run_id, _ in answers]
        time.sleep(1)
        later = [server.get(run_id) for run_id, _ in answers]
        todos = server.settled(server.post("show my list"))["result"]["output"]
        for run_id, status in answers:
            again = server.client.post(f"/runs/{run_id}/cancel")
            assert again.status_code == status, again.text
    texts = [todo["text"] for todo in todos]
    for number, ((_, status), record) in enumerate(zip(answers, records, strict=True)):
        assert record["status"] == ("cancelled" if status == 200 else "completed"), record["error"]
        assert status in (200, 409)
        agrees(record)
        for text, step in ((f"first {number}", 1), (f"last {number}", 4)):
            assert texts.count(text) <= 1
            entries = [entry for entry in record["execution_log"] if entry["step"] == step]
            if any(entry["status"] == "ok" for entry in entries):
                assert text in texts
            elif text in texts:
                assert entries[-1]["may_have_acted"]
    for before, after in zip(records, later, strict=True):
        assert without_time(before) == without_time(after)
    statuses = [record["status"] for record in records]
    assert statuses.count("cancelled") > RUNS / 10


def agrees(record: dict[str, Any]) -> None:
    """The log says the same as the status."""
    log, steps = record["execution_log"], record["plan"]["steps"]
    done = [entry["step"] for entry in log if entry["status"] == "ok"]
    if record["status"] == "completed":
        assert done == [1, 2, 3, 4]
        return
    assert [mark["what"] for mark in record["marks"]] == ["cancel"]
    assert done == list(range(1, len(done) + 1))
    assert len(done) <= len(steps)
    cut_off = [entry for entry in log if entry["status"] == "cancelled"]
    assert cut_off in ([], log[-1:])
    assert record["error"]["type"] == "cancelled"
    assert record["result"] is None


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "server_time"}
