"""What must not keep a server from answering: hung tools, a locked file, many watchers."""

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, http_client, serving

#: Holds the write lock of a SQLite file for some seconds, from another process.
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


def slowest_health(server: ServerProcess, seconds: float) -> float:
    """The slowest of the answers of /health/live during that time, in seconds."""
    slowest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert server.client.get("/health/live").status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.02)
    return slowest


def test_it_answers_while_blocking_tools_hang(tmp_path: Path) -> None:
    """Other runs are planned and done as well."""
    with serving(tmp_path, tools="examples.flaky:block", max_executing="8") as server:
        for _ in range(6):
            server.post("block 30 seconds")
        began = time.monotonic()
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
        assert time.monotonic() - began < 5
        assert slowest_health(server, 1) < 1


def test_it_answers_while_another_process_holds_the_database(tmp_path: Path) -> None:
    """Runs are read; what is posted is accepted once the file is free, and is done."""
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        running = server.post("sleep 1 seconds, then add todo after")
        done = server.post("2 + 2")
        server.settled(done)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "runs.db"), "3"],
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            posted: list[httpx.Response] = []
            client = http_client(server.url)
            thread = threading.Thread(
                target=lambda: posted.append(client.post("/runs", json={"prompt": "3 + 3"}))
            )
            thread.start()
            assert server.get(done)["status"] == "completed"
            assert slowest_health(server, 2) < 1
        thread.join(20)
        client.close()
        assert posted[0].status_code == 201
        assert server.settled(posted[0].json()["run_id"])["result"]["output"] == 6
        assert server.settled(running)["status"] == "completed"
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_it_answers_while_500_watchers_are_attached(tmp_path: Path) -> None:
    """Each sees every event, and the run takes hardly longer than its steps."""
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        run_id = server.post(", then ".join(["sleep 0.2 seconds"] * 10))
        watchers = [Watcher(run_id, lambda: server.url) for _ in range(500)]
        slowest = slowest_health(server, 2)
        record = server.settled(run_id, timeout=60)
        assert all(watcher.join(60) for watcher in watchers)
        events = server.client.get(f"/runs/{run_id}/events").json()["events"]
        assert server.settled(server.post("2 + 2"))["result"]["output"] == 4
    assert record["status"] == "completed"
    assert all(watcher.seen == events for watcher in watchers)
    assert slowest < 3
