"""The one writer of a file: all or nothing, in order, and never stopped by what it is given."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graph.storage.sqlite.connections import MAX_BATCH, SqliteWriter
from tests.support.patience import patience


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    writer = SqliteWriter(path)
    await writer.write(("CREATE TABLE numbers (n INTEGER UNIQUE NOT NULL)", ()))
    yield writer
    await writer.aclose()


def add(number: object) -> tuple[str, tuple[object]]:
    return ("INSERT INTO numbers VALUES (?)", (number,))


def numbers(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    try:
        return [number for (number,) in connection.execute("SELECT n FROM numbers ORDER BY rowid")]
    finally:
        connection.close()


async def test_what_was_written_can_be_read_on_any_connection(
    writer: SqliteWriter, path: Path
) -> None:
    assert await writer.write(add(1), ("UPDATE numbers SET n = n + 1", ())) == 1
    assert await writer.write(("UPDATE numbers SET n = 9 WHERE n = 7", ())) == 0
    assert numbers(path) == [2]


async def test_writes_at_once_are_all_made_in_their_order(writer: SqliteWriter, path: Path) -> None:
    await asyncio.gather(*(writer.write(add(number)) for number in range(3 * MAX_BATCH)))

    assert numbers(path) == list(range(3 * MAX_BATCH))


@pytest.mark.parametrize(
    "bad", [1, None, "half \ud83d", 2**70, object()], ids=lambda bad: type(bad).__name__
)
async def test_a_bad_write_leaves_nothing_and_fails_no_other(
    writer: SqliteWriter, path: Path, bad: object
) -> None:
    """Whatever it is given, the writer goes on: everything else in the process waits for it."""
    await writer.write(add(1))
    outcomes = await asyncio.gather(
        writer.write(add(2)),
        writer.write(add(3), add(bad)),
        writer.write(add(4)),
        return_exceptions=True,
    )

    assert [outcome if isinstance(outcome, int) else "failed" for outcome in outcomes] == [
        1,
        "failed",
        1,
    ]
    assert isinstance(outcomes[1], Exception)
    assert numbers(path) == [1, 2, 4]


async def test_a_locked_file_fails_every_write_after_one_wait(
    path: Path, writer: SqliteWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waiting in turn for another process would hold up everything for minutes."""
    wait = patience(0.2)
    await writer.write((f"PRAGMA busy_timeout = {wait * 1000:.0f}", ()))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcomes = await asyncio.gather(
        *(writer.write(add(number)) for number in range(30)), return_exceptions=True
    )
    waited = loop.time() - began
    other.execute("ROLLBACK")
    other.close()

    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in outcomes)
    assert waited < 10 * wait  # and not 30 times
    assert await writer.write(add(1)) == 1
    assert numbers(path) == [1]


async def test_a_cancelled_caller_does_not_undo_its_write_or_stop_the_writer(
    writer: SqliteWriter, path: Path
) -> None:
    writing = asyncio.create_task(writer.write(add(1)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await writer.write(add(2))

    assert numbers(path) == [1, 2]


async def test_only_what_must_survive_a_power_cut_waits_for_the_disk(path: Path) -> None:
    writer = SqliteWriter(path)
    statements: list[str] = []
    writer._connection.set_trace_callback(statements.append)
    await writer.write(("CREATE TABLE numbers (n INTEGER)", ()), durable=True)
    await writer.write(add(1))
    await writer.write(add(2), durable=True)
    await writer.aclose()

    assert [line for line in statements if not line.startswith(("BEGIN", "COMMIT"))] == [
        "CREATE TABLE numbers (n INTEGER)",
        "PRAGMA synchronous=NORMAL",
        "INSERT INTO numbers VALUES (1)",
        "PRAGMA synchronous=FULL",
        "INSERT INTO numbers VALUES (2)",
    ]


async def test_what_was_submitted_is_written_before_the_end(path: Path) -> None:
    writer = SqliteWriter(path)
    await writer.write(("CREATE TABLE numbers (n INTEGER)", ()))
    writing = [asyncio.create_task(writer.write(add(number))) for number in range(20)]
    await asyncio.sleep(0)
    await writer.aclose()
    await asyncio.gather(*writing)

    assert numbers(path) == list(range(20))


async def test_a_write_after_the_end_fails_and_does_not_wait_for_ever(path: Path) -> None:
    writer = SqliteWriter(path)
    await writer.aclose()

    with pytest.raises(sqlite3.ProgrammingError, match="the database is closed"):
        await writer.write(("SELECT 1", ()))
