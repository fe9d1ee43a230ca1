"""Storage in one SQLite file, owned by one process."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.index import INDEX_VERSION
from graph.ownership import own
from graph.serializer import strict_serializer
from graph.sqlite_index import SqliteIndex
from graph.sqlite_store import SqliteStore
from graph.storage import Storage, StorageError

#: How long a statement waits for another process's lock on the file, in seconds.
BUSY_TIMEOUT = 5.0


@asynccontextmanager
async def open_sqlite(path: Path, *, server_url: str | None) -> AsyncIterator[Storage]:
    """Own the file and open it.

    Raises `FileOwned` when another process has it, `StorageError` when it cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(own(path, url=server_url))
            storage = await _open(path, stack)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"cannot use the database {path}: {error}; the folder must exist and be writable,"
                " and the file must be a SQLite database (RUNWRIGHT_DATABASE_URL)"
            ) from error
        yield storage


async def _open(path: Path, stack: AsyncExitStack) -> Storage:
    # A checkpoint lost in a power cut is made again from the one before it; an accepted or settled
    # run must not be: its connection waits for the disk.
    index_writer = await _connect(path, stack, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
    await _refuse_newer(path, index_writer)
    # Autocommit would make every statement of the saver a transaction; it commits by itself.
    saver_connection = await _connect(path, stack, "PRAGMA synchronous=NORMAL", autocommit=False)
    store_connection = await _connect(path, stack, "PRAGMA synchronous=NORMAL")
    saver = AsyncSqliteSaver(saver_connection, serde=strict_serializer())
    await saver.setup()
    store = SqliteStore(store_connection)
    await store.setup()
    reader_connection = await _connect(path, stack, "PRAGMA query_only=ON")
    reader = AsyncSqliteSaver(reader_connection, serde=strict_serializer())
    reader.is_setup = True  # the tables are there, and this connection may not make any
    index = SqliteIndex(index_writer, reader_connection)
    await index.migrate()
    return Storage(
        backend="sqlite",
        saver=saver,
        reader=reader,
        store=store,
        index=index,
        errors=(sqlite3.Error,),
    )


async def _connect(
    path: Path, stack: AsyncExitStack, *pragmas: str, autocommit: bool = True
) -> aiosqlite.Connection:
    connection = await stack.enter_async_context(
        aiosqlite.connect(
            path, timeout=BUSY_TIMEOUT, isolation_level=None if autocommit else "DEFERRED"
        )
    )
    for pragma in pragmas:
        await connection.execute_fetchall(pragma)
    return connection


async def _refuse_newer(path: Path, connection: aiosqlite.Connection) -> None:
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version > INDEX_VERSION:
        raise StorageError(
            f"the database {path} has version {version} and was written by a newer Runwright; this"
            f" one reads up to version {INDEX_VERSION}: upgrade it or choose another database"
        )
