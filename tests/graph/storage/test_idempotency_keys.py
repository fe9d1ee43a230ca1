"""A request that is sent again with its key makes no second run, on every backend."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.runs.accept import AlreadyAccepted, KeyReused
from graph.state import DEFAULT_LIMITS
from graph.state.row import KEPT, IdempotencyKey, KeyedRun, RunRow
from graph.state.wording import searchable
from graph.storage.open import open_storage
from graph.storage.search import Search
from graph.storage.storage import Storage
from tests.support.patience import patience
from tests.support.runs.live_runs import Gates, process


def row(run_id: str, **fields: Any) -> RunRow:
    given: dict[str, Any] = {"owner": "me", "prompt": "task", "created_at": 1e9} | fields
    return RunRow(run_id=run_id, limits=DEFAULT_LIMITS, **given)


KEY = IdempotencyKey(name="k", fingerprint="task")
OTHER = IdempotencyKey(name="k", fingerprint="another task")


async def test_the_first_request_with_a_key_has_it(storage: Storage) -> None:
    first = await storage.index.accept_once(row("a"), KEY)
    second = await storage.index.accept_once(row("b", created_at=1e9 + 1), OTHER)

    assert first == second == KeyedRun(run_id="a", fingerprint="task")
    assert await storage.index.find_key("me", "k", at=1e9) == first
    assert [found.run_id for found in (await storage.index.search("me", Search())).rows] == ["a"]


async def test_a_key_is_nobody_elses(storage: Storage) -> None:
    """Two owners may use the same name."""
    await storage.index.accept_once(row("a"), KEY)

    assert (await storage.index.accept_once(row("b", owner="you"), OTHER)).run_id == "b"
    assert await storage.index.find_key("them", "k", at=1e9) is None


async def test_a_key_is_free_again_after_a_day(storage: Storage) -> None:
    await storage.index.accept_once(row("a"), KEY)

    assert await storage.index.find_key("me", "k", at=1e9 + KEPT - 1) is not None
    assert await storage.index.find_key("me", "k", at=1e9 + KEPT) is None
    late = await storage.index.accept_once(row("b", created_at=1e9 + KEPT), OTHER)
    assert late == KeyedRun(run_id="b", fingerprint="another task")
    assert await storage.index.find("a") == row("a")


async def test_keys_whose_day_is_over_do_not_pile_up(tmp_path: Path) -> None:
    """Every new key takes some of them away."""
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        for number in range(5):
            await storage.index.accept_once(row(f"{number}"), replace(KEY, name=f"{number}"))
        await storage.index.accept_once(row("late", created_at=1e9 + KEPT), KEY)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("SELECT name FROM request_keys").fetchall() == [("k",)]
    connection.close()


async def test_a_run_that_is_removed_takes_its_key_along(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.index.accept_once(row("a"), KEY)
    with sqlite3.connect(path) as connection:
        connection.create_function("searchable", 1, searchable)  # which the triggers call
        connection.execute("DELETE FROM runs")
    connection.close()
    async with open_storage(f"sqlite:///{path}") as storage:
        assert (await storage.index.accept_once(row("b"), OTHER)).run_id == "b"


async def test_of_many_requests_at_once_one_is_stored(storage: Storage) -> None:
    keyed = await asyncio.gather(
        *(storage.index.accept_once(row(f"{number}"), KEY) for number in range(32))
    )

    [stored] = (await storage.index.search("me", Search())).rows
    assert {one.run_id for one in keyed} == {stored.run_id}


async def test_a_task_is_executed_once_however_often_it_is_started(storage: Storage) -> None:
    """Whoever comes later is told which run it is, also when the run has ended."""
    gates = Gates()
    async with process(storage, gates) as runs:
        started = await asyncio.gather(
            *(runs.start("pass a", key=KEY) for _ in range(32)), return_exceptions=True
        )
        [record] = [one for one in started if isinstance(one, dict)]
        later = [one for one in started if isinstance(one, AlreadyAccepted)]
        await runs.wait(record["run_id"], timeout=patience(), owner=None)
        with pytest.raises(AlreadyAccepted):
            await runs.start("pass a", key=KEY)
        with pytest.raises(KeyReused):
            await runs.start("pass b", key=OTHER)

    assert [one.run_id for one in later] == [record["run_id"]] * 31
    assert gates.calls == {"a": 1}


async def test_a_key_is_known_although_no_further_run_has_room(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = (await runs.start("pass a", key=KEY))["run_id"]
        runs._context.executor._max_queued = -100
        with pytest.raises(AlreadyAccepted) as before:
            await runs.start("pass a", key=KEY)
    assert before.value.run_id == run_id
