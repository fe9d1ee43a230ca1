"""What a search costs on SQLite, in steps of its machine: those are the same on every computer."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from graph import sqlite_words
from graph.backends import open_storage
from graph.search import Position, Search
from graph.sqlite_search import look_up
from tests.test_search import accept_all, ended

#: As many runs that have ended, all with one word in their prompts, half of them with another.
RUNS = 2_000


@pytest.fixture
async def connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiosqlite.Connection]:
    """A file in which a search goes over many windows, as it does among very many runs."""
    for module in ("graph.sqlite_search", "graph.sqlite_words"):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", 100)
    monkeypatch.setattr(sqlite_words, "FEW", 50)
    monkeypatch.setattr(sqlite_words, "WINDOW", 120)
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


async def steps(connection: aiosqlite.Connection, **asked: Any) -> int:
    """How many steps, in hundreds, a search takes."""
    taken = 0

    def note() -> int:
        nonlocal taken
        taken += 1
        return 0

    await connection.set_progress_handler(note, 100)
    await look_up(connection, "me", Search(limit=5, **asked))
    return taken


async def test_a_page_in_the_middle_costs_as_much_as_the_first(
    connection: aiosqlite.Connection,
) -> None:
    """The runs before a page are counted, but not gone through for it."""
    first = await steps(connection, text="task")
    for descending in (True, False):
        middle = Position(key=None, number=RUNS // 2)
        later = await steps(connection, text="task", descending=descending, after=middle)
        assert later < 1.5 * first
