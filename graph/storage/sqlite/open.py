"""Storage in one SQLite file, owned by one process."""

import errno
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import aiosqlite
from filelock import FileLock, Timeout
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.sqlite.checkpoints import SqliteSaver, SqliteStore
from graph.storage.sqlite.index import SqliteDeletion, SqliteIndex
from graph.storage.sqlite.probe import MALFORMED, TableProbe, checking, is_damage, watched, watching
from graph.storage.sqlite.schema import APPLICATION_ID, VERSION
from graph.storage.sqlite.searcher import Searcher
from graph.storage.sqlite.spending import SqliteSpending
from graph.storage.sqlite.writer import BUSY_TIMEOUT, SqliteWriter
from graph.storage.storage import Storage, StorageError, StorageFaults

#: How much of the file a search reads in place, where copying its pages takes most of the time.
SEARCHED = 2**30


#: Who may read and write what is made here: this user alone.
PRIVATE = 0o600


@asynccontextmanager
async def open_sqlite(path: Path, *, server_url: str | None) -> AsyncIterator[Storage]:
    """Own the file and open it.

    Raises `FileOwned` when another process has it, `StorageError` when it cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            killed = stack.enter_context(own(path, url=server_url))
            storage = await _open(path, stack, killed=killed)
        except (sqlite3.Error, OSError) as error:
            if is_damage(error) and _is_ours(path):
                raise StorageError(f"the database {path} is {MALFORMED}") from error
            raise StorageError(
                f"cannot use the database {path}: {error}; the folder must exist and be writable,"
                " and the file must be a SQLite database (RUNWRIGHT_DATABASE_URL)"
            ) from error
        yield storage


async def _open(path: Path, stack: AsyncExitStack, *, killed: bool) -> Storage:
    _create(path)
    # Before aiosqlite: a connection that cannot be opened leaves its thread behind.
    _check(path)
    faults = StorageFaults()
    notice = watching(path, faults)
    factory = watched(notice)
    # An answer still being read holds up what its connection sees: the index has one of its own, on
    # which every answer is read at once, so that a run is found as soon as it has been accepted.
    connections = [await _connect(path, stack, factory) for _ in range(5)]
    for_saver, for_reader, for_index, for_store, for_search = connections
    writer = SqliteWriter(path, factory)
    stack.push_async_callback(writer.aclose)
    index = SqliteIndex(for_index, writer, Searcher(for_search), TableProbe(for_index, writer))
    migrated = await index.migrate()  # first, since it marks the file as ours
    store = SqliteStore(for_store, writer)
    stack.push_async_callback(store.aclose)
    await AsyncSqliteSaver(for_saver).setup()
    await store.setup()
    if migrated:
        await index.count_bytes()
    for connection in connections:
        await connection.execute_fetchall("PRAGMA query_only=ON")
        # Every table has been made by now; a connection that knows them from before may miss some.
        await connection.execute_fetchall("SELECT 1 FROM runs LIMIT 0")
    await for_search.execute_fetchall(f"PRAGMA mmap_size={SEARCHED}")
    saver = SqliteSaver(for_saver, writer)
    spending = SqliteSpending(for_reader, writer)
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
        spending=spending,
        remove=SqliteDeletion(writer),
        errors=(sqlite3.Error,),
        expect_new=saver.new_threads.add,
        faults=faults,
    )


async def _connect(
    path: Path, stack: AsyncExitStack, factory: type[sqlite3.Connection]
) -> aiosqlite.Connection:
    return await stack.enter_async_context(
        aiosqlite.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=factory)
    )


def _create(path: Path) -> None:
    """Make the file for this user alone; SQLite gives what it puts beside it the same rights."""
    with suppress(FileExistsError):
        os.close(os.open(path.resolve(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))


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


# One process owns a SQLite file: an OS lock beside it, and a note of who holds it.


@dataclass(frozen=True)
class Owner:
    """Who holds a file; `url` is where its server answers, None for a process without one."""

    pid: int
    url: str | None


class FileOwned(Exception):
    """Another process owns the file. `owner` is None when it left no readable note."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.path = path
        self.owner = owner
        super().__init__(f"{path} is in use by {_named(owner)}")


@contextmanager
def own(path: Path, *, url: str | None) -> Iterator[bool]:
    """Hold `path` for this process; the OS gives it back however the process ends.

    Whether the process that held it before, or the machine, ended without closing it.
    Raises `FileOwned` at once when another process holds it, `OSError` when its folder is missing
    or cannot be written.
    """
    real = path.resolve()  # whatever link it was named by, it is the same file
    if not real.parent.is_dir():  # the lock would make it, and hide a mistyped path
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(real.parent))
    lock = FileLock(f"{real}.lock", mode=PRIVATE)
    note = Path(f"{real}.owner")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FileOwned(path, _read(note)) from None
    try:
        killed = note.exists()
        note.unlink(missing_ok=True)
        _write(note, json.dumps(asdict(Owner(os.getpid(), url))))
        yield killed
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _write(note: Path, text: str) -> None:
    with os.fdopen(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "w") as file:
        file.write(text)


def _read(note: Path) -> Owner | None:
    try:
        return Owner(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _named(owner: Owner | None) -> str:
    if owner is None:
        return "another process"
    where = f"the server at {owner.url}" if owner.url else "a `runwright run` or a notebook"
    return f"{where} (process {owner.pid})"
