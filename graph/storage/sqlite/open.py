"""Storage in one SQLite file, owned by one process."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.owned import ServerAddress
from graph.storage.sql.audit import SqlAudit
from graph.storage.sql.outbox import SqlOutbox
from graph.storage.sql.spending import SqlSpending
from graph.storage.sql.threads import SqlThreads
from graph.storage.sqlite.index import SqliteIndex
from graph.storage.sqlite.ownership import own
from graph.storage.sqlite.probe import MALFORMED, TableProbe, checking, is_damage, watched, watching
from graph.storage.sqlite.schema import APPLICATION_ID, VERSION
from graph.storage.sqlite.searcher import Searcher
from graph.storage.sqlite.space import LISTS, SqliteDeletion, SqliteSpace
from graph.storage.sqlite.store import SqliteSaver, SqliteStore
from graph.storage.sqlite.writer import BUSY_TIMEOUT, SqliteWriter
from graph.storage.storage import Storage, StorageError, StorageFaults

#: How long the loop's thread waits for another process's lock on the file, in seconds: a reader
#: meets one only where the log of writes is mended or put away.
READ_TIMEOUT = 0.1

#: How much of the file a search reads in place, where copying its pages takes most of the time.
SEARCHED = 2**30


@asynccontextmanager
async def open_sqlite(
    path: Path, *, server: ServerAddress | None, timed: Callable[[float], None] | None = None
) -> AsyncIterator[Storage]:
    """Own the file and open it; `timed` is told how long each transaction took, in seconds.

    Raises `FileOwned` when another process has it, `StorageError` when it cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            ownership = stack.enter_context(own(path, server))
            ownership.make_database()
            storage = await _open(path, stack, killed=ownership.killed, timed=timed)
            ownership.keep()
        except (sqlite3.Error, OSError) as error:
            if is_damage(error) and _is_ours(path):
                raise StorageError(f"the database {path} is {MALFORMED}") from error
            raise StorageError(
                f"cannot use the database {path}: {error}; the folder must exist and be writable,"
                " and the file must be a SQLite database (RUNWRIGHT_DATABASE_URL)"
            ) from error
        yield storage


async def _open(
    path: Path, stack: AsyncExitStack, *, killed: bool, timed: Callable[[float], None] | None
) -> Storage:
    # Before aiosqlite: a connection that cannot be opened leaves its thread behind.
    _check(path)
    faults = StorageFaults()
    notice = watching(path, faults)
    factory = watched(notice)
    # An answer still being read holds up what its connection sees: the index has one of its own, on
    # which every answer is read at once, so that a run is found as soon as it has been accepted.
    connections = [await _connect(path, stack, factory) for _ in range(4)]
    for_saver, for_reader, for_index, for_search = connections
    for_store = stack.enter_context(
        closing(sqlite3.connect(path, timeout=READ_TIMEOUT, isolation_level=None, factory=factory))
    )
    writer = SqliteWriter(path, factory, timed)
    stack.push_async_callback(writer.aclose)
    searcher = Searcher(for_search)
    index = SqliteIndex(for_index, writer, searcher, TableProbe(for_index, writer))
    migrated = await index.migrate()  # first, since it marks the file as ours
    store = SqliteStore(for_store, writer)
    await AsyncSqliteSaver(for_saver).setup()
    store.setup()
    if migrated:
        await index.count_bytes()
    for connection in connections:
        await connection.execute_fetchall("PRAGMA query_only=ON")
        # Every table has been made by now; a connection that knows them from before may miss some.
        await connection.execute_fetchall("SELECT 1 FROM runs LIMIT 0")
    for_store.execute("PRAGMA query_only=ON")
    await for_search.execute_fetchall(f"PRAGMA mmap_size={SEARCHED}")
    saver = SqliteSaver(for_saver, writer)
    outbox = SqlOutbox(for_index, writer, LISTS)
    await outbox.open()
    spending = SqlSpending(for_reader, writer)
    await spending.count_left()
    try:
        await index.check()
    except sqlite3.Error as error:
        if faults.damage:
            raise
        faults.tell(error)  # as a full disk: what was stored can be read, and what is not may pass
    if killed:
        for_check = await _connect(path, stack, factory)
        await stack.enter_async_context(checking(for_check, notice))
    return Storage(
        backend="sqlite",
        saver=saver,
        reader=SqliteSaver(for_reader, writer),
        store=store,
        index=index,
        threads=SqlThreads(for_index, writer, searcher.fetch, sqlite3.IntegrityError),
        spending=spending,
        remove=SqliteDeletion(writer),
        give_back=SqliteSpace(path, for_index, factory),
        errors=(sqlite3.Error,),
        faults=faults,
        outbox=outbox,
        audit=SqlAudit(searcher.fetch, writer),
        sizes=partial(_sizes, path),
    )


def _sizes(path: Path) -> Mapping[str, int]:
    files = {"database": path, "log": path.with_name(f"{path.name}-wal")}
    return {part: file.stat().st_size for part, file in files.items() if file.exists()}


async def _connect(
    path: Path, stack: AsyncExitStack, factory: type[sqlite3.Connection]
) -> aiosqlite.Connection:
    return await stack.enter_async_context(
        aiosqlite.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=factory)
    )


def _is_ours(path: Path) -> bool:
    """Whether the head of the file says that it is a database of this program."""
    with path.open("rb") as file:
        head = file.read(100)
    return head[:16] == b"SQLite format 3\0" and head[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _check(path: Path) -> None:
    """Refuse a file that another program made, or a newer version of this one."""
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as connection:
        [(version,)] = connection.execute("PRAGMA user_version")
        [(application,)] = connection.execute("PRAGMA application_id")
        [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master")
    if tables and application != APPLICATION_ID:
        raise StorageError(
            f"the database {path} belongs to another program; choose another file"
            " (RUNWRIGHT_DATABASE_URL)"
        )
    if version > VERSION:
        raise StorageError(
            f"the database {path} has version {version} and was written by a newer Runwright; this"
            f" one reads up to version {VERSION}: upgrade it or choose another database"
        )
