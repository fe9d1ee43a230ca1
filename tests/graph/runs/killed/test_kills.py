"""Servers killed while runs are approved, retried, forked, removed: nothing lost or done twice."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.patience import patience, wait_until
from tests.support.runs.orphans import orphans
from tests.support.runs.stuck_runs import await_unstuck
from tests.support.servers.server_process import ServerProcess, http_client, serving

INDEX = "graph.storage.sqlite.index:SqliteIndex"
REMOVAL = "graph.storage.sqlite.maintenance:SqliteDeletion"

#: Inside the transaction that removes runs, when all of it is written and none of it committed.
UNCOMMITTED = "after graph.storage.sqlite.connections:SqliteWriter._execute DELETE FROM runs"

#: The moments around the one transaction of a super-step, by what has happened by then.
SUPER_STEP = {
    "nothing is written": (
        "before graph.storage.sqlite.open:SqliteSaver.aput 'source': 'loop', 'step': {step},"
    ),
    "written, not committed": (
        "after graph.storage.sqlite.connections:SqliteWriter._execute"
        ' "source": "loop", "step": {step}'
    ),
    "committed, nobody told": (
        "after graph.storage.sqlite.connections:SqliteWriter._transaction"
        ' "source": "loop", "step": {step}'
    ),
    "told": ("after graph.storage.sqlite.open:SqliteSaver.aput 'source': 'loop', 'step': {step},"),
}

#: Days that are over as soon as a run is settled.
AT_END = "0.000001"

KILLS, CLIENTS = 5, 5


class Mortal:
    """Servers over one database, each of which dies at a point that it is given."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = patch
        self._armed = folder / "armed"
        patch.setenv("ARMED", str(self._armed))

    def serving(self, point: str | None, **settings: str) -> Any:
        """A server that dies at the point once it is armed; one without a point lives."""
        self._patch.setenv("DIE_AT", point or "")
        return serving(self.folder, tools="tests.support.own_tools.mortal:stand_by", **settings)

    def arm(self) -> None:
        """Let the server die when it next comes by its point."""
        self._armed.touch()

    def dies(self, server: ServerProcess, method: str, path: str, body: Any = None) -> None:
        """Ask for something that kills the server, before or after it has answered."""
        self.arm()
        with suppress(httpx.TransportError):  # it may die before it can answer
            server.client.request(method, path, json=body)
        self.died(server)

    def died(self, server: ServerProcess) -> None:
        """It has killed itself, at its point."""
        assert server.process.wait(patience()) == -9
        assert not self._armed.exists()
        assert orphans(self.folder / "runs.db") == []


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mortal:
    return Mortal(tmp_path, monkeypatch)


def todos(server: ServerProcess) -> Counter[str]:
    """How often each to-do is there."""
    listing = server.settled(server.post("show my list"))
    return Counter(todo["text"] for todo in listing["result"]["output"])


def whole(server: ServerProcess, run_id: str) -> dict[str, Any]:
    """The record of a run that has settled, after a check of its events."""
    record = server.settled(run_id)
    told = server.client.get(f"/runs/{run_id}/events").json()["events"]
    assert [event["id"] for event in told] == list(range(1, len(told) + 1))
    assert [event["type"] for event in told][-1] == "end"
    assert told[-1]["data"]["status"] == record["status"]
    return record


def marks(record: dict[str, Any]) -> list[str]:
    return [mark["what"] for mark in record["marks"] if mark["what"] != "taken_up"]


def test_killed_between_an_approval_and_the_first_step(mortal: Mortal) -> None:
    """The approval is on disk: the plan is executed at the next start, and once."""
    points = [f"after {INDEX}.decide", "after graph.runs.runner:carry_out"]
    asked: list[str] = []
    for point in [*points, None]:
        with mortal.serving(point) as server:
            for run_id in asked:
                record = whole(server, run_id)
                assert (record["status"], marks(record)) == ("completed", ["approved"])
            if point is None:
                assert todos(server) == {f"milk {n}": 1 for n in range(len(points))}
                break
            body = {"prompt": f"add todo milk {len(asked)}", "mode": "plan"}
            asked.append(server.client.post("/runs/wait?timeout=300", json=body).json()["run_id"])
            mortal.dies(server, "POST", f"/runs/{asked[-1]}/approve")
    assert orphans(mortal.folder / "runs.db") == []


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(point, id=what, marks=[] if "not committed" in what else pytest.mark.slow)
        for what, point in SUPER_STEP.items()
    ],
)
def test_killed_between_the_end_of_a_node_and_what_is_told_of_it(
    mortal: Mortal, moment: str
) -> None:
    """At each of its super-steps: nothing is lost, no effect comes twice, no event is another."""
    steps = range(1, 6)  # two nodes that plan, two attempts, the end
    for step in [*steps, None]:
        with mortal.serving(moment.format(step=step) if step else None) as server:
            for run_id in kept(mortal.folder):
                record = whole(server, run_id)
                assert record["status"] == "completed"
                attempts = [(entry["step"], entry["attempt"]) for entry in record["execution_log"]]
                assert attempts == [(1, 1), (2, 1)]
            if step is None:
                assert todos(server) == {f"milk {number}": 1 for number in steps}
                break
            task = {"prompt": f"add todo milk {step}, then calculate 2 + 2"}
            mortal.dies(server, "POST", "/runs", task)
    assert orphans(mortal.folder / "runs.db") == []


def test_killed_between_the_mark_of_a_retry_and_its_first_attempt(mortal: Mortal) -> None:
    """The order is on disk, and carried out once; finished steps stay finished."""
    points = [
        f"after {INDEX}.request_retry",
        "after graph.runs.recovery:apply_retry",
        "after graph.runs.runner:set_running",
    ]
    asked: list[str] = []
    for point in [*points, None]:
        with mortal.serving(point) as server:
            for run_id in asked:
                record = whole(server, run_id)
                assert (record["status"], marks(record)) == ("completed", ["retry"])
                assert [entry["step"] for entry in record["execution_log"]] == [1, 2, 3]
            if point is None:
                numbers = range(len(points))
                assert todos(server) == {f"{word} {n}": 1 for word in ("a", "z") for n in numbers}
                break
            number = len(asked)
            task = f"add todo a {number}, then calculate 1 / 0, then add todo z {number}"
            asked.append(server.post(task))
            server.settled(asked[-1])
            mortal.dies(server, "POST", f"/runs/{asked[-1]}/retry", {"skip": [2]})
    assert orphans(mortal.folder / "runs.db") == []


def test_killed_in_the_middle_of_a_fork(mortal: Mortal) -> None:
    """It is there as a whole and goes on from its checkpoint, or it is not there at all."""
    points = [
        f"before {INDEX}.accept",
        f"after {INDEX}.accept",
        "after graph.runs.runner:begin",
    ]
    with mortal.serving(points[0]) as server:
        origin = server.post("add todo milk, then add todo bread")
        server.settled(origin)
        page = server.client.get(f"/runs/{origin}/history", params={"limit": 100}).json()
        (milk_done,) = [one for one in page["checkpoints"] if one["cursor"] == 1]
        body = {"checkpoint_id": milk_done["checkpoint_id"]}
        mortal.dies(server, "POST", f"/runs/{origin}/fork", body)
    for made, point in enumerate([*points[1:], None]):
        with mortal.serving(point) as server:
            forks = server.get(origin)["forks"]
            assert len(forks) == made  # the first was not accepted before it died
            for fork in forks:
                record = whole(server, fork)
                assert record["status"] == "completed"
                assert record["forked_from"] == {"run_id": origin, **body}
                assert [entry["step"] for entry in record["execution_log"]] == [1, 2]
            if point is None:
                assert todos(server) == {"milk": 1, "bread": len(points)}
                break
            mortal.dies(server, "POST", f"/runs/{origin}/fork", body)
    assert orphans(mortal.folder / "runs.db") == []


def test_killed_in_the_middle_of_removing_a_run(mortal: Mortal) -> None:
    """All of the run is there as before, or nothing of it; its to-do stays."""
    before: dict[str, Any] = {}
    for point in (UNCOMMITTED, f"after {REMOVAL}.__call__", None):
        with mortal.serving(point) as server:
            if before and point is not None:
                now = server.get(before["run_id"])
                assert {**now, "server_time": None} == {**before, "server_time": None}
            elif before:
                assert server.client.get(f"/runs/{before['run_id']}").status_code == 404
                assert todos(server) == {"milk": 1}
                break
            else:
                before = server.settled(server.post("add todo milk"))
            mortal.dies(server, "DELETE", f"/runs/{before['run_id']}")
    assert orphans(mortal.folder / "runs.db") == []


def test_killed_in_the_middle_of_a_sweep(mortal: Mortal) -> None:
    """Every run is there with all that is kept of it, or gone; the next sweep takes the others."""
    with mortal.serving(None) as server:
        ids = [server.post(f"add todo number {number}") for number in range(15)]
        before = {run_id: server.settled(run_id)["completed_at"] for run_id in ids}
    left = {UNCOMMITTED: 15, f"after {REMOVAL}.__call__": 5}
    for point, there in left.items():
        mortal.arm()
        with mortal.serving(point, retention=AT_END) as server:
            mortal.died(server)
        assert len(kept(mortal.folder)) == there
    with mortal.serving(None) as server:
        for run_id in kept(mortal.folder):
            assert whole(server, run_id)["completed_at"] == before[run_id]
        assert todos(server) == {f"number {number}": 1 for number in range(15)}
    with mortal.serving(None, retention=AT_END):
        wait_until(lambda: not kept(mortal.folder))
    assert orphans(mortal.folder / "runs.db") == []


def kept(folder: Path) -> set[str]:
    """The runs that the index has."""
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        return {run_id for (run_id,) in database.execute("SELECT run_id FROM runs")}


# At whatever moment it comes


class Client:
    """Asks until somebody answers, wherever the server is just now."""

    def __init__(self, url: Callable[[], str | None]) -> None:
        self._url = url
        self._http = http_client()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return wait_until(
            lambda: self._answer(method, path, body),
            every=0.02,
            otherwise=lambda: f"nobody answers {method} {path}",
        )

    def _answer(self, method: str, path: str, body: Any) -> httpx.Response | None:
        try:
            if url := self._url():
                answer = self._http.request(method, url + path, json=body)
                return answer if answer.status_code != 503 else None
        except httpx.TransportError:
            pass  # killed meanwhile: whether it was heard is not known
        return None

    def made(self, body: Any) -> str:
        """Start a run; if the answer was lost, there may be another one of it."""
        return str(self("POST", "/runs", body).json()["run_id"])

    def until(self, run_id: str, *statuses: str) -> dict[str, Any]:
        while (record := self("GET", f"/runs/{run_id}").json())["status"] not in statuses:
            time.sleep(0.02)
        return dict(record)

    def settled(self, run_id: str) -> dict[str, Any]:
        return self.until(run_id, "completed", "failed", "cancelled")


def approved(ask: Client, number: int) -> None:
    run_id = ask.made({"prompt": f"add todo approved {number}", "mode": "plan"})
    ask.until(run_id, "waiting")
    assert ask("POST", f"/runs/{run_id}/approve").status_code in (200, 409)
    record = ask.settled(run_id)
    assert (record["status"], marks(record)) == ("completed", ["approved"]), record["error"]


def rejected(ask: Client, number: int) -> None:
    run_id = ask.made({"prompt": f"add todo rejected {number}", "mode": "plan"})
    ask.until(run_id, "waiting")
    assert ask("POST", f"/runs/{run_id}/reject").status_code in (200, 409)
    record = ask.settled(run_id)
    assert (record["error"]["type"], marks(record)) == ("rejected", ["rejected"])


def retried(ask: Client, number: int) -> None:
    task = f"add todo first {number}, then calculate 1 / 0, then add todo last {number}"
    run_id = ask.made({"prompt": task})
    assert ask.settled(run_id)["status"] == "failed"
    assert ask("POST", f"/runs/{run_id}/retry", {"skip": [2]}).status_code in (200, 409)
    record = ask.settled(run_id)
    assert (record["status"], marks(record)) == ("completed", ["retry"]), record["error"]


def forked(ask: Client, number: int) -> None:
    run_id = ask.made({"prompt": f"add todo origin {number}"})
    ask.settled(run_id)
    page = ask("GET", f"/runs/{run_id}/history").json()["checkpoints"]
    state = {"prompt": f"add todo fork {number}"}
    body = {"checkpoint_id": page[-1]["checkpoint_id"], "state": state}
    assert ask("POST", f"/runs/{run_id}/fork", body).status_code == 201
    for fork in ask("GET", f"/runs/{run_id}").json()["forks"]:
        assert ask.settled(fork)["status"] == "completed"


def removed(ask: Client, number: int) -> None:
    run_id = ask.made({"prompt": f"add todo removed {number}"})
    ask.settled(run_id)
    assert ask("DELETE", f"/runs/{run_id}").status_code in (204, 404)
    assert ask("GET", f"/runs/{run_id}").status_code == 404


KINDS = (approved, rejected, retried, forked, removed)


class Work:
    """Clients that ask for everything, twice at least, until there is enough of it."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.enough, self.over = threading.Event(), threading.Event()
        self.removed: list[int] = []
        self._numbers = count()

    def asking(self) -> None:
        with Client(lambda: self.url) as ask:
            for again in count():
                if again > 1 and self.enough.is_set():
                    return
                for kind in KINDS:
                    number = next(self._numbers)
                    kind(ask, number)
                    if kind is removed:
                        self.removed.append(number)

    def killing(self, folder: Path) -> None:
        """Serve and kill, at whatever moment; then serve until the clients are through."""
        chance = random.Random(11)
        for generation in [chance.uniform(0.1, 0.9) for _ in range(KILLS)]:
            with serving(folder) as server:
                self.url = server.url
                time.sleep(generation)
                await_unstuck(folder)
                self.url = None
        with serving(folder) as server:
            self.url = server.url
            self.enough.set()
            self.over.wait(patience(240))


@pytest.mark.timeout(patience(600))
@pytest.mark.slow
def test_killed_at_any_moment_while_everything_is_asked_of_many_runs(tmp_path: Path) -> None:
    """Every run comes to the end that was asked for, each effect is there once, nothing is left."""
    work = Work()
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        killer = threads.submit(work.killing, tmp_path)
        try:
            for asking in [threads.submit(work.asking) for _ in range(CLIENTS)]:
                asking.result(patience(240))
        finally:
            work.enough.set()
            work.over.set()
        killer.result(patience())
    assert orphans(tmp_path / "runs.db") == []
    with serving(tmp_path) as server:
        records = [whole(server, run_id) for run_id in sorted(settled_in_time(server, tmp_path))]
        effects = todos(server)
    assert len(work.removed) > CLIENTS
    assert effects == expected(records, work.removed)


def settled_in_time(server: ServerProcess, folder: Path) -> set[str]:
    """All runs; one whose acceptance could not be told may still wait, and is ended here."""
    for run_id in kept(folder):
        record = server.until(run_id, lambda run: run["status"] not in ("pending", "running"))
        if record["status"] == "waiting":
            server.client.post(f"/runs/{run_id}/reject")
    return kept(folder)


def expected(records: list[dict[str, Any]], removed: list[int]) -> Counter[str]:
    """One to-do for every step that is done in a record, and those of the removed runs."""
    done: Counter[str] = Counter(f"removed {number}" for number in removed)
    for record in records:
        for entry in record["execution_log"]:
            if entry["tool"] == "todo_store.add" and entry["status"] == "ok":
                done[entry["output"]["text"]] += 1
    return done
