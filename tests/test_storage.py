"""Storage behind one URL: the same behaviour on every backend, and who may use a SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.index import INDEX_VERSION, RunIndex, RunRow
from graph.sqlite_index import MIGRATIONS
from graph.state import DEFAULT_LIMITS, Status
from graph.storage import Storage, StorageError, open_storage, sqlite_path


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db"
    async with open_storage(url) as storage:
        assert storage.backend == request.param
        yield storage


@pytest.fixture
def index(storage: Storage) -> RunIndex:
    return storage.index


def row(run_id: str, **fields: Any) -> RunRow:
    given: dict[str, Any] = {
        "owner": "me",
        "prompt": "Grüße \N{WAVING HAND SIGN}",
        "created_at": 1.5,
    } | fields
    return RunRow(run_id=run_id, limits=DEFAULT_LIMITS, **given)


async def status(index: RunIndex, run_id: str) -> str:
    found = await index.find(run_id)
    assert found is not None
    return found.status


async def project(index: RunIndex, run_id: str, status: Status) -> bool:
    return await index.project(run_id, status, started_at=2.0, completed_at=None)


async def test_an_accepted_run_is_found_as_it_was_accepted(index: RunIndex) -> None:
    accepted = row("a", started_at=2.0, completed_at=3.25, starts=2, checkpoint_id="c")
    await index.accept(accepted)

    assert await index.find("a") == accepted
    assert await index.find("b") is None


async def test_the_newest_runs_come_first_in_the_order_of_acceptance(index: RunIndex) -> None:
    """Clocks go back; the order in which runs were accepted does not."""
    for number in range(5):
        await index.accept(row(str(number), created_at=float(-number)))
    await project(index, "1", "running")

    assert [found.run_id for found in await index.newest(3)] == ["4", "3", "2"]
    assert [found.run_id for found in await index.newest(50)] == ["4", "3", "2", "1", "0"]


async def test_what_is_not_settled_is_listed_oldest_first(index: RunIndex) -> None:
    statuses: tuple[Status, ...] = (
        "pending",
        "running",
        "completed",
        "waiting",
        "failed",
        "cancelled",
    )
    for value in statuses:
        await index.accept(row(value, status=value))

    assert [found.run_id for found in await index.unsettled()] == ["pending", "running", "waiting"]


async def test_a_change_says_whether_it_happened(index: RunIndex) -> None:
    await index.accept(row("a"))

    assert await index.project("a", "running", started_at=2.0, completed_at=None)
    assert not await index.project("a", "running", started_at=9.0, completed_at=9.0)
    assert await index.project("a", "completed", started_at=2.0, completed_at=3.0)
    assert not await project(index, "nobody", "running")
    assert await index.find("a") == row("a", status="completed", started_at=2.0, completed_at=3.0)


async def test_a_change_may_skip_those_that_were_never_written(index: RunIndex) -> None:
    await index.accept(row("a"))

    assert await project(index, "a", "completed")


@pytest.mark.parametrize("settled", ["completed", "failed", "cancelled"])
async def test_a_settled_run_never_changes(index: RunIndex, settled: Status) -> None:
    await index.accept(row("a", status=settled))
    changes: tuple[Status, ...] = ("pending", "running", "waiting", "completed", "failed")

    assert not any([await project(index, "a", change) for change in changes])
    assert await index.find("a") == row("a", status=settled)


async def test_of_changes_at_once_one_happens(index: RunIndex) -> None:
    await index.accept(row("a"))
    ends: list[Status] = ["completed", "failed", "cancelled"]
    happened = await asyncio.gather(*(project(index, "a", end) for end in ends))

    assert sum(happened) == 1
    assert await status(index, "a") == ends[happened.index(True)]


async def test_starts_are_noted_beside_the_rest(index: RunIndex) -> None:
    await index.accept(row("a"))
    await index.note_start("a", starts=3, checkpoint_id="c")

    assert await index.find("a") == replace(row("a"), starts=3, checkpoint_id="c")


async def test_a_storage_that_can_be_written_passes_its_check(index: RunIndex) -> None:
    await index.check()


async def test_the_reader_sees_at_once_what_the_saver_wrote(storage: Storage) -> None:
    checkpoint = empty_checkpoint()
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    written = await storage.saver.aput(config, checkpoint, {"step": 1}, {})
    await storage.saver.aput_writes(written, [("log", ["entry"])], "task")
    read = await storage.reader.aget_tuple(config)

    assert read is not None
    assert read.checkpoint == checkpoint
    assert read.metadata["step"] == 1
    assert read.pending_writes == [("task", "log", ["entry"])]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///runs.db", "runs.db"),
        ("sqlite:///data/runs.db", "data/runs.db"),
        ("sqlite:////var/lib/runs.db", "/var/lib/runs.db"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_file(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "runs.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite://runs.db",
        "sqlite:///folder/",
        "sqlite:///:memory:",
        "SQLITE:///runs.db",
        "memory:///",
        "postgres://localhost/runs",
    ],
)
async def test_any_other_url_is_told_what_is_possible(url: str) -> None:
    with pytest.raises(StorageError) as error:
        async with open_storage(url):
            pass

    assert str(error.value) == (
        f"{url!r} names no database; use sqlite:///relative.db, sqlite:////absolute.db"
        " or memory:// (RUNWRIGHT_DATABASE_URL)"
    )


def files(folder: Path) -> list[Path]:
    """What is in a folder, but for locks, which stay where they were taken."""
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock")


def no_database(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header" * 10)
    return path


def missing_folder(tmp_path: Path) -> Path:
    return tmp_path / "missing" / "runs.db"


def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs.db").mkdir()
    return tmp_path / "runs.db"


def below_a_file(tmp_path: Path) -> Path:
    return no_database(tmp_path) / "runs.db"


def unwritable(_: Path) -> Path:
    return Path("/sys/runs.db")  # where even root may write nothing


@pytest.mark.parametrize(
    "make",
    [no_database, missing_folder, folder, below_a_file, unwritable],
    ids=lambda f: f.__name__,
)
async def test_a_file_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path)
    before = files(tmp_path)
    with pytest.raises(StorageError) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert str(error.value).startswith(f"cannot use the database {path}: ")
    assert "the folder must exist and be writable" in str(error.value)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == before


async def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {INDEX_VERSION + 1}")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(StorageError) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert str(error.value) == (
        f"the database {path} has version {INDEX_VERSION + 1} and was written by a newer"
        f" Runwright; this one reads up to version {INDEX_VERSION}: upgrade it or choose another"
        " database"
    )
    assert path.read_bytes() == before


def test_there_is_a_step_to_every_version_of_the_tables() -> None:
    assert len(MIGRATIONS) == INDEX_VERSION


async def test_what_was_accepted_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with open_storage(url) as storage:
        await storage.index.accept(row("a"))
        await storage.store.aput(("todos", "me"), "1", {"text": "milk"})
    async with open_storage(url) as storage:
        item = await storage.store.aget(("todos", "me"), "1")

        assert await storage.index.find("a") == row("a")
        assert item is not None
        assert item.value == {"text": "milk"}


async def test_every_connection_reads_a_log_that_writers_do_not_hold_up(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        connections = [
            cast("AsyncSqliteSaver", part).conn
            for part in (storage.saver, storage.reader, storage.store)
        ]
        for connection in connections:
            [(journal,)] = await connection.execute_fetchall("PRAGMA journal_mode")
            [(query_only,)] = await connection.execute_fetchall("PRAGMA query_only")
            [(timeout,)] = await connection.execute_fetchall("PRAGMA busy_timeout")

            assert (journal, query_only, timeout) == ("wal", 1, 5000)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await connection.execute_fetchall("DELETE FROM runs")
