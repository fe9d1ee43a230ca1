"""Storage behind one URL: the same behaviour on every backend, and who may use a SQLite file."""

import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage.open import open_storage, sqlite_path
from graph.storage.sqlite.connections import BUSY_TIMEOUT
from graph.storage.sqlite.schema import MIGRATIONS, VERSION
from graph.storage.storage import Storage, StorageError
from tests.support.wording.messages import wording

ROW = RunRow(run_id="a", owner="me", prompt="add milk", limits=DEFAULT_LIMITS, created_at=1.5)


async def test_the_reader_sees_at_once_what_the_saver_wrote(storage: Storage) -> None:
    checkpoint = empty_checkpoint()
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    written = await storage.saver.aput(config, checkpoint, {"step": 1}, {})
    await storage.saver.aput_writes(written, [("log", ["entry"])], "task")
    await storage.saver.aput(written, empty_checkpoint(), {"step": 2}, {})
    read = await storage.reader.aget_tuple(written)

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
        "mysql://localhost/runs",
    ],
)
async def test_any_other_url_is_told_what_is_possible(url: str) -> None:
    with pytest.raises(StorageError) as error:
        async with open_storage(url):
            pass

    assert str(error.value) == wording("storage.url", url=repr(url))


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

    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == before


async def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(StorageError) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert str(error.value) == wording(
        "storage.newer", path=path, version=VERSION + 1, known=VERSION
    )
    assert path.read_bytes() == before


def test_there_is_a_step_to_every_version_of_the_tables() -> None:
    assert len(MIGRATIONS) == VERSION


async def test_what_was_accepted_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with open_storage(url) as storage:
        await storage.index.accept(ROW)
        await storage.store.aput(("todos", "me"), "1", {"text": "milk"})
    async with open_storage(url) as storage:
        item = await storage.store.aget(("todos", "me"), "1")

        assert await storage.index.find("a") == ROW
        assert item is not None
        assert item.value == {"text": "milk"}


async def test_every_connection_reads_a_log_that_writers_do_not_hold_up(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        connections = [
            cast("AsyncSqliteSaver", part).conn for part in (storage.saver, storage.reader)
        ]
        for connection in connections:
            [(journal,)] = await connection.execute_fetchall("PRAGMA journal_mode")
            [(query_only,)] = await connection.execute_fetchall("PRAGMA query_only")
            [(timeout,)] = await connection.execute_fetchall("PRAGMA busy_timeout")

            assert (journal, query_only, timeout) == ("wal", 1, BUSY_TIMEOUT * 1000)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await connection.execute_fetchall("DELETE FROM request_keys")
        store: Any = storage.store
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._stock.conn.execute("DELETE FROM request_keys")
