"""What a search costs on SQLite, in steps of its machine: those are the same on every computer."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from graph.storage.open import open_storage
from graph.storage.search import Position, Search
from graph.storage.sqlite import index
from graph.storage.sqlite.index import look_up, walk
from graph.storage.sqlite.maintenance import Rows, Searcher
from tests.graph.storage.test_search import accept_all, ended

#: As many runs that have ended, all with one word in their prompts, half of them with another.
RUNS = 1_000


@pytest.fixture
async def connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiosqlite.Connection]:
    """A file with many more runs than are counted."""
    monkeypatch.setattr(index, "MOST_COUNTED", 100)
    monkeypatch.setattr(index, "MOST_COUNTED_BY_WORDS", 50)
    path = tmp_path / "runs.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        rows = [
            ended(
                f"{number}",
                seconds=float(number * 7 % RUNS),
                usd=0.1,
                prompt="task odd" if number % 2 else "task",
                status="failed" if number % 20 == 0 else "completed",
            )
            for number in range(RUNS)
        ]
        await accept_all(storage, rows)
    async with aiosqlite.connect(path) as connection:
        yield connection


class CountingSearcher(Searcher):
    """Counts the steps of all that it reads, in hundreds."""

    taken = 0

    async def read(
        self, owner: str, sql: str, values: Sequence[Any], *, every: int, most: int | None
    ) -> tuple[Rows | None, int]:
        rows, steps = await super().read(owner, sql, values, every=100, most=None)
        self.taken += steps // 100
        return rows, steps


async def steps(connection: aiosqlite.Connection, **asked: Any) -> int:
    """How many steps, in hundreds, a search takes."""
    searcher = CountingSearcher(connection)
    await look_up(searcher, "me", Search(limit=5, **asked))
    return searcher.taken


async def test_a_page_in_the_middle_costs_as_much_as_the_first(
    connection: aiosqlite.Connection,
) -> None:
    """The runs before a page are not gone through for it."""
    first = await steps(connection, text="task")
    for descending in (True, False):
        middle = Position(key=None, number=RUNS // 2)
        later = await steps(connection, text="task", descending=descending, after=middle)
        assert later < 1.5 * first


async def test_a_page_by_words_costs_what_it_shows_and_not_what_has_the_words(
    connection: aiosqlite.Connection,
) -> None:
    """Nor is more counted than is told; only another order than by time goes through all."""
    newest = await steps(connection, text="task")
    assert newest < 1.5 * await steps(connection, text="odd")
    assert 3 * newest < await steps(connection, text="task", sort="duration")


@pytest.mark.parametrize("sort", ["duration", "cost"])
async def test_a_sorted_page_costs_a_few_steps(connection: aiosqlite.Connection, sort: str) -> None:
    """Not all runs are gone through to find the longest, or the dearest."""
    assert await steps(connection, sort=sort) < 1.5 * await steps(connection)


async def test_only_a_page_that_is_near_is_walked_to(connection: aiosqlite.Connection) -> None:
    """One for which hardly any of the first runs is sought, or very many are, is not."""
    near = Search(sort="duration", limit=5)
    assert len(await walk(Searcher(connection), "me", near) or []) == 6
    assert await walk(Searcher(connection), "you", near) is None
    assert await walk(Searcher(connection), "me", replace(near, statuses=("failed",))) is not None
    assert await walk(Searcher(connection), "me", replace(near, statuses=("cancelled",))) is None
