"""Forks whose origin was removed, and origins of removed forks: what is left can be read."""

import pytest

from graph.commands.seeded import Edits
from graph.record.record import Record
from graph.runs.context import RunNotFound
from graph.service import Runs
from graph.storage.storage import Storage
from tests.support.patience import until
from tests.support.runs.live_runs import Gates, process, rested, start, told


async def origin(runs: Runs) -> tuple[str, str]:
    """A completed run, and its checkpoint when the first of two steps was done."""
    run_id = await start(runs, "pass a, then pass b")
    await rested(runs, run_id)
    page = await runs.history(run_id, owner=None, limit=100)
    (one_done,) = [entry for entry in page["checkpoints"] if entry["cursor"] == 1]
    return run_id, one_done["checkpoint_id"]


async def forks(runs: Runs, run_id: str) -> list[str]:
    return (await runs.get(run_id, owner=None))["forks"]


async def test_a_fork_outlives_its_origin_and_names_it(storage: Storage) -> None:
    """Nobody finds the origin; the fork has all that it did, its events and its history."""
    async with process(storage, Gates()) as runs:
        run_id, checkpoint_id = await origin(runs)
        fork = (await runs.fork(run_id, checkpoint_id, Edits(), owner=None))["run_id"]
        before = await rested(runs, fork)
        seen = await told(runs, fork)
        await runs.remove(run_id, owner=None)
        with pytest.raises(RunNotFound):
            await runs.get(run_id, owner=None)
        assert await runs.get(fork, owner=None) == before
        assert await told(runs, fork) == seen
    async with process(storage, Gates()) as runs:
        record = await runs.get(fork, owner=None)
        assert record == before
        assert record["forked_from"] == {"run_id": run_id, "checkpoint_id": checkpoint_id}
        again = await runs.fork(fork, await latest(runs, fork), Edits(cursor=0), owner=None)
        assert (await rested(runs, again["run_id"]))["status"] == "completed"


async def latest(runs: Runs, run_id: str) -> str:
    page = await runs.history(run_id, owner=None, limit=1)
    return page["checkpoints"][0]["checkpoint_id"]


async def test_an_origin_names_the_forks_that_are_there(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        run_id, checkpoint_id = await origin(runs)
        made: list[Record] = [
            await runs.fork(run_id, checkpoint_id, Edits(), owner=None) for _ in range(2)
        ]
        first, second = [(await rested(runs, fork["run_id"]))["run_id"] for fork in made]
        assert await forks(runs, run_id) == [first, second]
        await runs.remove(first, owner=None)
        assert await forks(runs, run_id) == [second]
        await runs.remove(second, owner=None)
        assert await forks(runs, run_id) == []


async def test_a_fork_that_has_not_begun_needs_its_origin_no_more(storage: Storage) -> None:
    """It waits for a slot while the origin is removed, and for another process after that."""
    gates = Gates()
    async with process(storage, gates, slots=1, orderly=False) as runs:
        run_id, checkpoint_id = await origin(runs)
        await start(runs, "gate x")
        await until(lambda: "x" in gates.waiting)
        fork = (await runs.fork(run_id, checkpoint_id, Edits(), owner=None))["run_id"]
        await runs.remove(run_id, owner=None)
        queued = await runs.get(fork, owner=None)
    async with process(storage, gates, slots=1) as runs:
        await gates.end_next("x")
        record = await rested(runs, fork)
        await told(runs, fork)
    assert queued["status"] == "pending"
    assert queued["forked_from"] == {"run_id": run_id, "checkpoint_id": checkpoint_id}
    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 2, "x": 2}
