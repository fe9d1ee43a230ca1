"""Runs are kept for a time, and then everything of them is gone together; their effects stay."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest

from graph.commands.threads import NotSettled, artifacts_of
from graph.runs.context import RunNotFound
from graph.runs.upkeep import DAY, REMOVED_AT_ONCE, Retention, sweeping
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, Status
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.storage.search import Search
from graph.storage.storage import RunIndex, Storage
from tests.support.patience import until, wait_until
from tests.support.runs.fake_runs import FakeRuns
from tests.support.runs.live_runs import AT_ONCE, Gates, process, rested, start
from tests.support.runs.orphans import orphans
from tests.support.runs.run_states import attempted, finished, planned, queued
from tests.support.servers.asgi_clients import serving as fake_serving
from tests.support.servers.server_process import ServerProcess, serving
from tools.loading import BUILTIN
from tools.receipts import namespace

#: Days that are over as soon as a run is settled.
AT_END = "0.000001"


class WithTodos(Gates):
    """The gated tools, and the ones that come with the package."""

    @property
    def tools(self) -> Any:
        from tools.registry import make_tools

        return make_tools([*self._quick(), *self._gated(), *BUILTIN])


async def receipts(storage: Storage, owner: str = "default") -> int:
    return len(await storage.store.asearch(namespace("receipts", owner), limit=10_000))


async def todos(storage: Storage, owner: str = "default") -> list[str]:
    found = await storage.store.asearch(namespace("todos", owner), limit=10_000)
    return sorted(item.value["text"] for item in found)


async def checkpoints(storage: Storage, run_id: str) -> int:
    config: Any = {"configurable": {"thread_id": run_id}}
    return len([one async for one in storage.saver.alist(config)])


# Which runs are due


def row(run_id: str, completed_at: float | None, status: Status = "completed") -> RunRow:
    return RunRow(
        run_id=run_id,
        owner="me",
        prompt="p",
        limits=DEFAULT_LIMITS,
        created_at=0.0,
        status=status,
        completed_at=completed_at,
    )


async def due(index: RunIndex, moment: float, **given: Any) -> list[str]:
    found = await index.settled_before(moment, **{"after": None, "limit": 100, **given})
    return [one.run_id for one in found]


async def test_due_is_what_was_settled_before_a_moment_the_first_first(storage: Storage) -> None:
    index = storage.index
    for given in (
        row("c", 30.0),
        row("a", 10.0, "failed"),
        row("b", 20.0, "cancelled"),
        row("late", 50.0),
        row("waits", None, "waiting"),
        row("runs", None, "running"),
    ):
        await index.accept(given)

    assert await due(index, 40.0) == ["a", "b", "c"]
    assert await due(index, 30.0) == ["a", "b"]
    assert await due(index, 40.0, limit=2) == ["a", "b"]
    assert await due(index, 40.0, after=row("b", 20.0)) == ["c"]


async def test_runs_settled_at_one_moment_are_all_seen(storage: Storage) -> None:
    for name in "dbca":
        await storage.index.accept(row(name, 10.0))

    assert await due(storage.index, 11.0, after=row("b", 10.0)) == ["c", "d"]


async def test_what_is_due_is_found_by_an_index(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT run_id FROM runs"
            " WHERE status IN ('completed', 'failed', 'cancelled') AND completed_at < 5"
            " AND (completed_at, run_id) > (0, '') ORDER BY completed_at, run_id LIMIT 10"
        ).fetchall()
    assert "runs_settled" in plan[0][-1]
    assert len(plan) == 1  # nothing is sorted


# What belongs to a run


def test_the_receipts_of_a_run_are_those_of_every_step_and_generation() -> None:
    once = artifacts_of(finished(3))
    again = artifacts_of({**finished(3), "generation": 1})
    shortened = artifacts_of({**attempted(attempted(planned(queued(), 2))), "plan": {"steps": []}})

    assert len(set(once.step_keys)) == 3
    assert len(set(again.step_keys)) == 6
    assert len(shortened.step_keys) == 2  # what was done counts, whatever is planned now
    assert artifacts_of(queued()).step_keys == []


# Removing one


async def test_a_removed_run_is_gone_with_all_that_was_kept_and_its_todo_stays(
    storage: Storage,
) -> None:
    async with process(storage, WithTodos()) as runs:
        one = await rested(runs, await start(runs, "add todo milk, then add todo bread"))
        other = await rested(runs, await start(runs, "add todo salt"))
        assert await receipts(storage) == 3

        await runs.remove(one["run_id"], owner=None)

        assert await receipts(storage) == 1
        assert await checkpoints(storage, one["run_id"]) == 0
        assert await storage.index.find(one["run_id"]) is None
        assert [run["run_id"] for run in (await runs.search("default", Search()))["runs"]] == [
            other["run_id"]
        ]
        with pytest.raises(RunNotFound):
            await runs.get(one["run_id"], owner=None)
        with pytest.raises(RunNotFound):
            await runs.remove(one["run_id"], owner=None)
        assert await runs.get(other["run_id"], owner=None) == other
        assert await todos(storage) == ["bread", "milk", "salt"]


async def test_a_run_that_has_not_ended_is_not_removed(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        executing, waiting = await start(runs, "gate a"), await start(runs, "gate b")
        await until(lambda: "a" in gates.waiting)
        for run_id in (executing, waiting):
            with pytest.raises(NotSettled):
                await runs.remove(run_id, owner=None)
            assert await runs.remove_settled([run_id]) == 0
        gates.end("a")
        await gates.end_next("b")
        assert (await rested(runs, waiting))["status"] == "completed"
        await runs.remove(executing, owner=None)


async def test_a_run_whose_row_has_not_ended_is_settled_in_it_and_then_removed(
    storage: Storage,
) -> None:
    """As an earlier version left it that died after the last checkpoint; the row has the last word.

    A run that is told to go on has such a row as well.
    """
    async with process(storage, Gates()) as runs:
        record = await rested(runs, await start(runs, "pass a"))
        await cast("Any", storage.saver)._writer.write(
            ("UPDATE runs SET status = 'pending', completed_at = NULL", ())
        )
        left = await storage.index.find(record["run_id"])
        assert left is not None
        assert left.status == "pending"

        assert await runs.remove_settled([record["run_id"]]) == 0
        assert await checkpoints(storage, record["run_id"]) > 0
        await runs.remove(record["run_id"], owner=None)

        assert await checkpoints(storage, record["run_id"]) == 0
        assert await storage.index.find(record["run_id"]) is None


async def test_removing_one_run_many_times_at_once_removes_it_once(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id = (await rested(runs, await start(runs, "pass a")))["run_id"]
        outcomes = await asyncio.gather(
            *(runs.remove(run_id, owner=None) for _ in range(8)), return_exceptions=True
        )
    assert [one for one in outcomes if one is None] == [None]
    assert sum(isinstance(one, RunNotFound) for one in outcomes) == 7


async def test_whoever_comes_to_a_removed_run_is_not_shown_what_another_still_watches(
    storage: Storage,
) -> None:
    async with process(storage, Gates()) as runs:
        run_id = (await rested(runs, await start(runs, "pass a")))["run_id"]
        async with runs.broadcaster.watching(run_id) as subscription:
            await runs.remove(run_id, owner=None)
            with pytest.raises(RunNotFound):
                async with runs.broadcaster.watching(run_id):
                    pass
            assert subscription.ended
        with pytest.raises(RunNotFound):
            async with runs.broadcaster.watching(run_id):
                pass


# Sweeping


def retention(storage: Storage, runs: Runs, *, days: float = 30.0) -> Retention:
    return Retention(storage.index, runs.remove_settled, days=days)


async def test_a_sweep_removes_what_is_due_and_nothing_else(storage: Storage) -> None:
    """More than one batch, beside runs that are newer or have not ended."""
    gates = WithTodos()
    async with process(storage, gates) as runs:
        old = [await start(runs, f"add todo number {n}") for n in range(REMOVED_AT_ONCE * 2 + 3)]
        for run_id in old:
            await rested(runs, run_id)
        moment = time.time()
        await asyncio.sleep(0.01)
        new = await rested(runs, await start(runs, "pass new"))
        open_run = await start(runs, "gate a")
        await until(lambda: "a" in gates.waiting)

        assert await retention(storage, runs).sweep(moment) == 0
        assert await retention(storage, runs).sweep(moment + 30 * DAY) == len(old)

        left = {run["run_id"] for run in (await runs.search("default", Search(limit=100)))["runs"]}
        assert left == {new["run_id"], open_run}
        assert await receipts(storage) == 0
        assert len(await todos(storage)) == len(old)
        gates.end("a")
        assert (await rested(runs, open_run))["status"] == "completed"


async def test_room_is_given_back_after_a_sweep_that_has_removed_something(
    storage: Storage,
) -> None:
    asked = 0

    async def give_back() -> int:
        nonlocal asked
        asked += 1
        return 0

    async def remove(run_ids: Sequence[str]) -> int:
        return len(run_ids)

    sweeper = Retention(storage.index, remove, days=1.0, give_back=give_back)
    assert await sweeper.sweep(time.time()) == 0
    assert asked == 0
    await storage.index.accept(row("a", 1.0))
    assert await sweeper.sweep(time.time()) == 1
    assert asked == 1


async def test_a_run_that_cannot_be_read_does_not_keep_the_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with process(storage, Gates()) as runs:
        ids = [(await rested(runs, await start(runs, f"pass {n}")))["run_id"] for n in range(15)]
        read, broken = runs._reader.state, set(ids[:12])  # more than a batch

        async def state(run_id: str) -> Any:
            if run_id in broken:
                raise ValueError("not what it was")
            return await read(run_id)

        monkeypatch.setattr(runs._reader, "state", state)
        removed = await retention(storage, runs).sweep(time.time() + 31 * DAY)

        assert removed == 3
        assert {
            run["run_id"] for run in (await runs.search("default", Search(limit=100)))["runs"]
        } == broken


async def test_sweeping_goes_on_after_a_sweep_that_failed(storage: Storage) -> None:
    calls = 0

    async def remove(run_ids: Sequence[str]) -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise OSError("the disk is gone") if calls == 1 else ValueError("odd")
        return len(run_ids)

    await storage.index.accept(row("a", 1.0))
    sweeper = Retention(storage.index, remove, days=1e-6, errors=(OSError,))
    async with sweeping(sweeper):
        await until(lambda: calls >= 3)


# The file


@asynccontextmanager
async def generations(path: Path) -> AsyncIterator[tuple[Runs, Storage]]:
    async with (
        open_storage(f"sqlite:///{path}") as storage,
        process(storage, WithTodos(), slots=8, limits=AT_ONCE) as runs,
    ):
        yield runs, storage


async def one_generation(runs: Runs, number: int) -> None:
    prompt = ", then ".join(f"pass {'x' * 200}{part}" for part in range(5))
    ids = [await start(runs, f"{prompt}, then add todo {number}") for _ in range(20)]
    for run_id in ids:
        await rested(runs, run_id)


@pytest.mark.slow
async def test_the_file_stops_growing_when_the_number_of_kept_runs_does(tmp_path: Path) -> None:
    """Each generation lies in the pages that the one before has left.

    To-dos are no part of runs, and stay, as does who did what with runs, for longer; both are taken
    out, so that nothing but runs is weighed.
    """
    path, sizes = tmp_path / "runs.db", []
    for number in range(6):
        async with generations(path) as (runs, storage):
            await one_generation(runs, number)
            grown = path.stat().st_size
            assert await retention(storage, runs).sweep(time.time() + 31 * DAY) == 20
        with closing(sqlite3.connect(path)) as database, database:
            assert database.execute("DELETE FROM store WHERE prefix LIKE 'todos.%'").rowcount == 20
            assert database.execute("DELETE FROM audit").rowcount >= 40
        sizes.append(path.stat().st_size)  # closed: nothing is beside it
        assert not path.with_name("runs.db-wal").exists()
    assert orphans(path) == []
    assert grown
    assert sizes[5] <= sizes[1] * 1.05, sizes


# A server


def kept(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


def fill(server: ServerProcess, runs: int) -> list[str]:
    ids = [server.post(f"add todo number {n}, then show my list") for n in range(runs)]
    for run_id in ids:
        server.settled(run_id)
    return ids


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_of_a_sweep_leaves_nothing_half_removed(
    tmp_path: Path,
) -> None:
    """Whenever that is: each batch is there or gone, and the next server removes the rest."""
    path, runs = tmp_path / "runs.db", 60
    filled = kills = 0
    while not kills:  # a sweep may be over before a busy machine comes to kill it
        with serving(tmp_path, retention="0") as server:
            fill(server, runs)
        assert orphans(path) == []
        filled += runs
        left = runs
        while left:
            with serving(tmp_path, retention=AT_END) as server:
                wait_until(lambda: kept(path) != left, every=0.001)  # noqa: B023 - called at once
                server.kill()
            assert orphans(path) == []
            kills += 0 < kept(path) < left
            left = kept(path)
    with serving(tmp_path, retention="0") as server:
        listing = server.settled(server.post("show my list"))
        assert len(listing["result"]["output"]) == filled


def test_none_keeps_runs_for_ever_and_a_short_time_removes_them(tmp_path: Path) -> None:
    with serving(tmp_path, retention="none") as server:
        ids = fill(server, 2)
        time.sleep(1.5)
        assert {server.get(run_id)["status"] for run_id in ids} == {"completed"}
    with serving(tmp_path, retention=AT_END) as server:
        wait_until(lambda: server.client.get(f"/runs/{ids[0]}").status_code == 404)


def test_a_deleted_run_is_gone_for_every_endpoint_also_after_a_restart(tmp_path: Path) -> None:
    settings = {"tools": "examples.flaky:sleep"}
    with serving(tmp_path, **settings) as server:
        run_id = server.post("add todo milk")
        server.settled(run_id)
        going = server.post("sleep 3600 seconds")
        refused = server.client.delete(f"/runs/{going}")
        done = server.client.delete(f"/runs/{run_id}")
        paths = ["", "/wait", "/events", "/stream", "/explain", "/log/1/output"]
        gone = [server.client.get(f"/runs/{run_id}{path}").status_code for path in paths]
        cancelled = server.client.post(f"/runs/{run_id}/cancel")
        again = server.client.delete(f"/runs/{run_id}")
        never = server.client.delete("/runs/nonsense")
        foreign = server.client.delete(f"/runs/{going}", headers={"origin": "http://evil.example"})
        server.client.post(f"/runs/{going}/cancel")
        assert server.client.delete(f"/runs/{going}").status_code == 204
        server.kill()
    assert orphans(tmp_path / "runs.db") == []
    with serving(tmp_path, **settings) as server:
        assert server.client.get(f"/runs/{run_id}").status_code == 404
        assert server.client.get("/runs").json()["runs"] == []
        texts = server.settled(server.post("show my list"))["result"]["output"]
        assert [todo["text"] for todo in texts] == ["milk"]
    assert (done.status_code, done.content) == (204, b"")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:runwright:problem:not-settled"
    assert f"/runs/{going}/cancel" in refused.json()["detail"]
    assert gone == [404] * len(paths)
    assert (cancelled.status_code, again.status_code, never.status_code) == (404, 404, 404)
    assert foreign.status_code == 403


async def test_the_route_removes_only_what_has_ended() -> None:
    runs = FakeRuns()  # of which two are in states that the test makes
    done, going = runs.store(finished()), runs.store(planned(queued()))
    async with fake_serving(runs) as client:
        assert (await client.delete(f"/runs/{done}")).status_code == 204
        assert (await client.delete(f"/runs/{done}")).status_code == 404
        assert (await client.delete(f"/runs/{going}")).status_code == 409
    assert list(runs.states) == [going]
