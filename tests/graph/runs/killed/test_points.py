"""A server that dies between a node's end, its commit, and what is told of it.

`POINT_KILLS` says how often; `make soak-points` has 1,000.
"""

import itertools
import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.patience import patience
from tests.support.runs.orphans import orphans
from tests.support.servers.event_reader import Watcher
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = "tests.support.own_tools.mortal:stand_by"

SAVER = "graph.storage.sqlite.open:SqliteSaver"
WRITER = "graph.storage.sqlite.connections:SqliteWriter"

#: A node has ended; its checkpoint is about to be committed; it is; it is told; it has been told.
POINTS = (
    f"before {SAVER}.aput",
    f"before {WRITER}._transaction",
    f"after {WRITER}._transaction",
    "before graph.runs.live:Broadcaster.publish",
    "after graph.runs.live:Broadcaster.publish",
)

#: How many times, at most, a life gets by the point at which it ends.
MOST = 20

ADDS = 3


def prompt(number: int) -> str:
    return ", then ".join(
        f"add todo number {number} part {part}, then 2 + 2" for part in range(ADDS)
    )


def events(server: ServerProcess, run_id: str) -> list[dict[str, Any]]:
    return list(server.client.get(f"/runs/{run_id}/events").json()["events"])


class Lives:
    """Servers that follow each other on one database; `accepted` has runs and their numbers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self._folder = folder
        self._armed = folder / "armed"
        self._set = monkeypatch.setenv
        self._set("ARMED", str(self._armed))
        self._url: str | None = None
        self._numbers = itertools.count()
        self.accepted: dict[str, int] = {}
        self.watchers: list[Watcher] = []

    def die(self, point: str, after: int) -> bool:
        """Live until the point has been got by so often; whether the server died."""
        self._set("DIE_AT", point)
        with serving(self._folder, tools=TOOLS) as server:
            self._url = server.url
            self._armed.write_text(str(after))  # its start is over: three deaths there are the end
            with suppress(httpx.TransportError):
                self._accept(server)
                for run_id in list(self.accepted):
                    server.client.get(f"/runs/{run_id}/wait?timeout=60")
            died = not self._armed.exists()
            self._armed.unlink(missing_ok=True)
            self._url = None
        return died

    def settle(self) -> None:
        """Live until every run is settled, and look at everything."""
        with serving(self._folder, tools=TOOLS) as server:
            self._url = server.url
            records = [server.settled(run_id) for run_id in self.accepted]
            listed = server.settled(server.post("show my list"))["result"]["output"]
            told = {run_id: events(server, run_id) for run_id in self.accepted}
            assert all(watcher.join() for watcher in self.watchers)
            self._url = None
        assert [one["error"] for one in records if one["status"] != "completed"] == []
        texts = Counter(todo["text"] for todo in listed)
        assert set(texts.values()) <= {1}
        assert texts.keys() >= {
            f"number {number} part {part}"
            for number in self.accepted.values()
            for part in range(ADDS)
        }
        for watcher in self.watchers:
            seen = told[watcher.run_id]
            assert watcher.seen == seen
            assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
        assert orphans(self._folder / "runs.db") == []

    def _accept(self, server: ServerProcess) -> None:
        number = next(self._numbers)
        run_id = server.post(prompt(number))
        self.accepted[run_id] = number
        self.watchers.append(Watcher(run_id, lambda: self._url))


@pytest.mark.slow
@pytest.mark.timeout(patience(3600))
def test_nothing_is_lost_doubled_or_renumbered_at_any_point_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All accepted runs complete, each effect is there once, watchers see each event once."""
    kills = int(os.environ.get("POINT_KILLS", "20"))
    chance = random.Random(17)
    lives = Lives(tmp_path / "0", monkeypatch)
    deaths: Counter[str] = Counter()
    for turn, point in enumerate(itertools.cycle(POINTS)):
        if deaths.total() >= kills:
            break
        deaths[point] += lives.die(point, chance.randrange(MOST))
        if turn % 2:  # before three lives without a step done give a run up
            lives.settle()
            lives = Lives(tmp_path / str(turn), monkeypatch)
    lives.settle()
    assert deaths.keys() == set(POINTS)
    assert min(deaths.values()) > 0
    print(dict(deaths))  # noqa: T201
