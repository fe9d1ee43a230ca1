"""What must not keep a server from answering: hung tools, a locked file, many watchers."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.patience import patience
from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, http_client, serving

#: Holds the write lock of a SQLite file, from another process, until it is told to let go.
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


def answers(server: ServerProcess, times: int) -> bool:
    """Whether it says again and again that it lives."""
    return all(server.client.get("/health/live").status_code == 200 for _ in range(times))


def test_it_answers_while_blocking_tools_hang(tmp_path: Path) -> None:
    """Other runs are planned and done as well."""
    with serving(tmp_path, tools="examples.flaky:block", max_executing="8") as server:
        for _ in range(6):
            server.post("block 3600 seconds")
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
        assert answers(server, 20)


def test_it_answers_while_another_process_holds_the_database(tmp_path: Path) -> None:
    """Runs are read; what is posted is accepted once the file is free, and is done."""
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        running = server.post("sleep 1 seconds, then add todo after")
        done = server.post("2 + 2")
        server.settled(done)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "runs.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdout.readline()
            posted: list[httpx.Response] = []
            client = http_client(server.url)
            thread = threading.Thread(
                target=lambda: posted.append(client.post("/runs", json={"prompt": "3 + 3"}))
            )
            thread.start()
            assert server.get(done)["status"] == "completed"
            assert answers(server, 20)
            assert not posted
            holder.stdin.close()
        thread.join(patience())
        client.close()
        assert posted[0].status_code == 201
        assert server.settled(posted[0].json()["run_id"])["result"]["output"] == 6
        assert server.settled(running)["status"] == "completed"
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_it_answers_while_500_watchers_are_attached(tmp_path: Path) -> None:
    """Each sees every event."""
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        run_id = server.post(", then ".join(["sleep 0.2 seconds"] * 10))
        watchers = [Watcher(run_id, lambda: server.url) for _ in range(500)]
        assert answers(server, 50)
        record = server.settled(run_id)
        assert all(watcher.join() for watcher in watchers)
        events = server.client.get(f"/runs/{run_id}/events").json()["events"]
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
    assert record["status"] == "completed"
    assert all(watcher.seen == events for watcher in watchers)
