"""Fifty runs, their watchers, and a server that is killed twenty times."""

import json
import random
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import connect_sse

from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, http_client

FLAKY = "examples.flaky:sleep"
RUNS, KILLS, ADDS = 50, 20, 18


def prompt(number: int) -> str:
    return ", then ".join(
        f"add todo number {number} part {part}, then sleep 0.1 seconds" for part in range(ADDS)
    )


def await_progress(server: ServerProcess) -> None:
    """Return when a run has got further in this process, or none does any more.

    On a busy machine one would otherwise be killed three times before it could, and given up.
    """
    told: Counter[str] = Counter()
    with (
        http_client(server.url, timeout=10) as client,
        connect_sse(client, "GET", "/runs/stream") as changes,
    ):
        for message in changes.iter_sse():
            if message.event == "heartbeat":
                return
            if message.data:
                told[json.loads(message.data)["run_id"]] += 1
            if told and told.most_common(1)[0][1] > 2:
                return


def epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_renumbered_by_twenty_kills(tmp_path: Path) -> None:
    """All runs settle, each effect is there once, every event keeps its number and its content.

    After each kill the first run goes on within 2 s of the server's readiness.
    """
    chance = random.Random(5)
    urls: list[str | None] = []
    ready: list[float] = []

    def started() -> ServerProcess:
        server = ServerProcess(tmp_path, tools=FLAKY)
        while server.client.get("/health/ready").status_code != 200:
            time.sleep(0.01)
        ready.append(time.time())
        urls.append(server.url)
        return server

    server = started()
    try:
        ids = [server.post(prompt(number)) for number in range(RUNS)]
        watchers = [Watcher(run_id, lambda: urls[-1]) for run_id in chance.sample(ids, 10)]
        unsettled_at_kill = []
        for _ in range(KILLS):
            listed = server.client.get("/runs").json()["runs"]
            unsettled_at_kill.append(any(run["status"] == "running" for run in listed))
            if unsettled_at_kill[-1]:
                await_progress(server)
            time.sleep(chance.uniform(0, 0.5))
            urls.append(None)
            server.kill()
            server = started()
        records = [server.settled(run_id, timeout=120) for run_id in ids]
        listing = server.settled(server.post("show my list"))
        told = {run_id: events(server, run_id) for run_id in ids}
        assert all(watcher.join(30) for watcher in watchers)
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
    taken_up = [epoch(mark["at"]) for record in records for mark in record["marks"]]
    assert taken_up
    for began, busy in zip(ready[1:], unsettled_at_kill, strict=True):
        if busy:
            assert any(began - 5 < moment < began + 2 for moment in taken_up)


def events(server: ServerProcess, run_id: str) -> list[dict[str, Any]]:
    return list(server.client.get(f"/runs/{run_id}/events").json()["events"])
