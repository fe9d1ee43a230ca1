"""Databases that an older program left."""

import sqlite3
from pathlib import Path

from tests.server_process import ROOT, serving


def test_a_run_that_version_1_left_is_resumed(tmp_path: Path) -> None:
    """Its finished step is kept as it was, the rest is done, and the crash can be seen."""
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.executescript((ROOT / "tests/fixtures/version_1.sql").read_text())
        [(run_id,)] = connection.execute("SELECT run_id FROM runs")
    connection.close()
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        record = server.settled(run_id)
    assert record["status"] == "completed", record["error"]
    assert [entry["step"] for entry in record["execution_log"]] == [1, 2, 3]
    assert [todo["text"] for todo in record["result"]["output"]] == ["from version one"]
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
    assert record["execution_log"][0]["started_at"] < record["marks"][0]["at"]
