"""Fifty runs, their watchers, and a server that is killed twenty times."""

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import connect_sse

from tests.support.patience import patience, wait_until
from tests.support.runs.stuck_runs import await_unstuck, starts
from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, http_client

pytestmark = pytest.mark.usefixtures("kept_on")

FLAKY = "examples.flaky:sleep"
RUNS, KILLS, ADDS = 50, 20, 18


def prompt(number: int) -> str:
    return ", then ".join(
        f"add todo number {number} part {part}, then sleep 0.1 seconds" for part in range(ADDS)
    )


def await_progress(server: ServerProcess) -> None:
    """Return when a run has got further in this process, or none does any more."""
    told: Counter[str] = Counter()
    with (
        http_client(server.url) as client,
        connect_sse(client, "GET", "/runs/stream") as changes,
    ):
        for message in changes.iter_sse():
            if message.event == "heartbeat":
                return
            if message.data:
                told[json.loads(message.data)["run_id"]] += 1
            if told and told.most_common(1)[0][1] > 2:
                return


def is_busy(server: ServerProcess) -> bool:
    listed = server.client.get("/runs").json()["runs"]
    return any(run["status"] == "running" for run in listed)


@pytest.mark.slow
@pytest.mark.timeout(patience(600))
def test_nothing_is_lost_doubled_or_renumbered_by_twenty_kills(tmp_path: Path) -> None:
    """All runs settle, each effect is there once, every event keeps its number and its content.

    After each kill runs go on by themselves.
    """
    chance = random.Random(5)
    urls: list[str | None] = []

    def started() -> ServerProcess:
        server = ServerProcess(tmp_path, tools=FLAKY)
        wait_until(lambda: server.client.get("/health/ready").status_code == 200)
        urls.append(server.url)
        return server

    server = started()
    try:
        ids = [server.post(prompt(number)) for number in range(RUNS)]
        watchers = [Watcher(run_id, lambda: urls[-1]) for run_id in chance.sample(ids, 10)]
        for _ in range(KILLS):
            if is_busy(server):
                await_progress(server)
            time.sleep(chance.uniform(0, 0.5))
            await_unstuck(tmp_path)
            urls.append(None)
            server.kill()
            before = starts(tmp_path)
            server = started()
            if is_busy(server):
                wait_until(lambda: starts(tmp_path) != before)  # noqa: B023 - called at once
        records = [server.settled(run_id) for run_id in ids]
        listing = server.settled(server.post("show my list"))
        told = {run_id: events(server, run_id) for run_id in ids}
        assert all(watcher.join() for watcher in watchers)
    finally:
        server.kill()

    assert Counter(record["status"] for record in records) == {"completed": RUNS}, [
        record["error"] for record in records if record["error"]
    ]
    texts = Counter(todo["text"] for todo in listing["result"]["output"])
    assert texts == {f"number {n} part {part}": 1 for n in range(RUNS) for part in range(ADDS)}
    for run_id in ids:
        assert [event["id"] for event in told[run_id]] == list(range(1, len(told[run_id]) + 1))
    for watcher in watchers:
        assert watcher.seen == told[watcher.run_id]
    assert sum(len(watcher.connections) for watcher in watchers) > len(watchers)
    assert {mark["what"] for record in records for mark in record["marks"]} == {"taken_up"}


def events(server: ServerProcess, run_id: str) -> list[dict[str, Any]]:
    return list(server.client.get(f"/runs/{run_id}/events").json()["events"])
