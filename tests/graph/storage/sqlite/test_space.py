"""The room that removed runs have left comes back, and nothing else changes with it."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiosqlite
import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunArtifacts, RunRow
from graph.storage.open import open_storage
from graph.storage.search import Search
from graph.storage.sqlite.maintenance import SqliteSpace
from graph.storage.storage import Storage

MB = 2**20


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        yield storage


@pytest.fixture
async def reader(tmp_path: Path, storage: Storage) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(tmp_path / "runs.db") as connection:
        yield connection


async def fill(storage: Storage, runs: int) -> list[str]:
    ids = [f"r{number:03}" for number in range(runs)]
    for run_id in ids:
        row = RunRow(
            run_id=run_id,
            owner="me",
            prompt=f"{run_id} {'word ' * 4_000}",
            limits=DEFAULT_LIMITS,
            created_at=1.5,
        )
        await storage.index.accept(replace(row, status="completed", completed_at=2.0))
    return ids


async def remove(storage: Storage, ids: list[str]) -> None:
    gone = [RunArtifacts(run_id=one, generation=0, receipts=[], step_keys=[]) for one in ids]
    assert await storage.remove(gone) == len(ids)


async def test_a_file_that_is_mostly_free_is_written_anew_beside_its_users(
    storage: Storage, reader: aiosqlite.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    ids = await fill(storage, 100)
    await remove(storage, ids[:90])
    await reader.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    full = path.stat().st_size
    space = SqliteSpace(path, reader, sqlite3.Connection, least_free=MB // 2)

    given_back = await space()

    assert given_back >= MB // 2
    assert path.stat().st_size == full - given_back
    left = await storage.index.search("me", Search(limit=100))
    assert [row.run_id for row in left.rows] == ids[:89:-1]
    assert (await storage.index.search("me", Search(limit=100, text="r095"))).matching == 1
    assert await space() == 0
    await remove(storage, ids[90:])


@pytest.mark.parametrize(
    "bounds",
    [{"least_free": 100 * MB}, {"least_free": 0, "largest": 1000}],
    ids=["little is free", "much would be written"],
)
async def test_otherwise_the_file_stays_as_it_is(
    storage: Storage, reader: aiosqlite.Connection, tmp_path: Path, bounds: dict[str, int]
) -> None:
    ids = await fill(storage, 50)
    await remove(storage, ids[:45])
    space = SqliteSpace(tmp_path / "runs.db", reader, sqlite3.Connection, **bounds)
    assert await space() == 0
