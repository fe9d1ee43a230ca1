"""One run to which everything happens: its events keep their numbers, its time adds up."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = "examples.flaky:sleep"
TASK = (
    "add todo milk, then calculate 1 / 0, then calculate 2 / 0, then sleep 3600 seconds,"
    " then add todo bread"
)


class Telling:
    """What is told of a run, whenever it is asked: every answer must begin with the one before."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.told: list[dict[str, Any]] = []

    def continues(self, server: ServerProcess) -> list[str]:
        """The types of the events that are new, also where they alone are asked for."""
        path, seen = f"/runs/{self.run_id}/events", len(self.told)
        now = server.client.get(path).json()["events"]
        rest = server.client.get(path, params={"after": seen}).json()["events"]
        assert now[:seen] == self.told
        assert rest[: len(now) - seen] == now[seen:]
        assert [event["id"] for event in now] == list(range(1, len(now) + 1))
        self.told = now
        return [event["type"] for event in now[seen:]]


def asleep(run: dict[str, Any]) -> bool:
    return bool(run["current"] and run["current"]["step"] == 4)


def test_approved_failed_retried_killed_cancelled_and_retried(tmp_path: Path) -> None:
    """A number means the same event whenever and however it is read, after every restart too."""
    place: list[str | None] = [None]

    def watched() -> Watcher:
        return Watcher(run_id, lambda: place[0])

    def ask(server: ServerProcess, act: str, body: Any = None) -> None:
        answer = server.client.post(f"/runs/{run_id}/{act}", json=body or {})
        assert answer.status_code == 200, answer.text

    with serving(tmp_path, tools=TOOLS) as server:
        place[0] = server.url
        body = {"prompt": TASK, "mode": "plan"}
        run_id = server.client.post("/runs/wait?timeout=300", json=body).json()["run_id"]
        telling, watchers = Telling(run_id), [watched()]
        assert telling.continues(server)[-1] == "run.waiting"
        place[0] = None
        server.kill()
    with serving(tmp_path, tools=TOOLS) as server:
        place[0] = server.url
        assert telling.continues(server) == []
        ask(server, "approve")
        assert server.settled(run_id)["error"]["step"] == 2
        assert watchers[0].join()
        assert telling.continues(server)[0] == "run.approved"
        ask(server, "retry", {"input": {"expression": "6 * 7"}, "skip": [3]})
        watchers.append(watched())
        server.until(run_id, lambda run: run["status"] == "waiting")  # as the plan is another
        assert telling.continues(server)[0] == "run.retried"
        ask(server, "approve")
        server.until(run_id, asleep)
        assert telling.continues(server)[0] == "run.approved"
        place[0] = None
        server.kill()
    with serving(tmp_path, tools=TOOLS) as server:
        place[0] = server.url
        server.until(run_id, lambda run: run["marks"][-1]["what"] == "taken_up")
        ask(server, "cancel")
        assert watchers[1].join()
        assert telling.continues(server) == [
            "run.taken_up",
            "run.cancelling",
            "step.failed",
            "run.cancelled",
            "end",
        ]
        ask(server, "retry", {"skip": [4]})
        watchers.append(watched())
        record = server.settled(run_id)
        assert watchers[2].join()
        telling.continues(server)
        explained = server.client.get(f"/runs/{run_id}/explain").json()
    with serving(tmp_path, tools=TOOLS) as server:
        place[0] = server.url
        again = watched()
        assert again.join()
        assert telling.continues(server) == []
        assert server.client.get(f"/runs/{run_id}/explain").json() == explained
        listing = server.settled(server.post("show my list"))["result"]["output"]

    assert record["status"] == "completed"
    assert [mark["what"] for mark in record["marks"]] == [
        "approved",
        "retry",
        "approved",
        "taken_up",
        "cancel",
        "retry",
    ]
    assert [todo["text"] for todo in listing] == ["milk", "bread"]
    for watcher in watchers:
        assert watcher.seen == telling.told[: len(watcher.seen)]
    assert again.seen == telling.told
    assert max(len(watcher.connections) for watcher in watchers) > 1
    adds_up(explained, record)


def adds_up(explained: dict[str, Any], record: dict[str, Any]) -> None:
    """The parts of the time are the time from acceptance to the end, but for rounding."""
    ended, accepted = (
        datetime.fromisoformat(record[name]).timestamp() for name in ("completed_at", "created_at")
    )
    parts = explained["time_ms"]
    assert all(spent >= 0 for spent in parts.values()), parts
    assert sum(parts.values()) == pytest.approx(explained["total_ms"], abs=0.1)
    assert explained["total_ms"] == pytest.approx((ended - accepted) * 1000, abs=2)
    assert parts["waiting"] > 0
    assert parts["interruption"] > 0
    assert (explained["retries"]["told"], explained["retries"]["taken_up"]) == (2, 1)
