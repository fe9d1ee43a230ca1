"""Storage in one SQLite file, owned by one process, and how it is opened.

The process has an OS lock beside the file, and leaves a note of who holds it. What lies beside the
file is as private as the file: nothing is read from or written to what another user has put there,
and nothing is written through a symbolic link.
"""

import asyncio
import errno
import fcntl
import json
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.records import DatabaseOwned, Owner, ServerAddress
from graph.storage.sql.bookkeeping import SqlAudit, SqlOutbox
from graph.storage.sql.checkpoints import FoldingSaver
from graph.storage.sql.owners import SqlSpending, SqlThreads
from graph.storage.sqlite.connections import (
    BUSY_TIMEOUT,
    MALFORMED,
    SqliteStore,
    SqliteWriter,
    checking,
    is_damage,
    watched,
    watching,
)
from graph.storage.sqlite.index import SqliteIndex
from graph.storage.sqlite.maintenance import (
    LISTS,
    Searcher,
    SqliteDeletion,
    SqliteSpace,
    TableProbe,
)
from graph.storage.sqlite.schema import APPLICATION_ID, VERSION
from graph.storage.storage import Storage, StorageError, StorageFaults, strict_serializer

#: Who may read and write what is made here: this user alone.
PRIVATE = 0o600

#: What may lie beside a database: what SQLite puts there, the lock, and the note of its owner.
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".owner")


class FileOwned(DatabaseOwned):
    """Another process owns the file. `owner` is None when it left no readable note."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.path = path
        super().__init__(str(path), owner, kind="file", owner_now=lambda: read_owner(path))


class Ownership:
    """A file that is held. What was made for it is taken away at the end, unless it is kept.

    `killed`: whether who held it before, or the machine, ended without closing it.
    """

    def __init__(self, path: Path, made: list[Path], *, killed: bool) -> None:
        self.killed = killed
        self._path = path
        self._made = made

    def make_database(self) -> None:
        """Make the file for this user alone, unless it is there.

        SQLite gives what it puts beside it the same rights.
        """
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
            self._made += [Path(f"{self._path}{suffix}") for suffix in ("", *BESIDE[:3])]
        check_place(self._path)  # what has been made meanwhile too

    def keep(self) -> None:
        """The file has turned out to be one for us."""
        self._made.clear()


@contextmanager
def own(path: Path, server: ServerAddress | None = None) -> Iterator[Ownership]:
    """Hold `path` for this process; the OS gives it back however the process ends.

    Raises `FileOwned` at once when another process holds it, `StorageError` where something is not
    this user's, and `OSError` when its folder is missing or cannot be written.
    """
    real = _real(path)
    if not real.parent.is_dir():  # the lock would make it, and hide a mistyped path
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(real.parent))
    check_place(path)
    lock_file, note = Path(f"{real}.lock"), Path(f"{real}.owner")
    made = [] if lock_file.exists() else [lock_file]
    lock = _locked(lock_file)
    if lock is None:
        check_place(path)
        raise FileOwned(path, read_owner(path))
    try:
        check_place(path)  # what has been made since the first look too
        ownership = Ownership(real, made, killed=note.exists())
        note.unlink(missing_ok=True)
        _write(note, server)
        yield ownership
    finally:
        # Before the lock is given back: who waits for it sees that it is not there any more.
        for file in (*made, note):
            file.unlink(missing_ok=True)
        os.close(lock)


def _locked(file: Path) -> int | None:
    """A descriptor that holds the lock of the OS on a file until it is closed, and with it the
    process; None where another process holds it."""
    while True:
        flags = os.O_RDWR | os.O_NOFOLLOW
        try:
            lock = os.open(file, flags)
        except FileNotFoundError:  # who may not make it, since it is another's, may have it
            lock = os.open(file, flags | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:  # else who held it has just taken it away
                with suppress(PermissionError):
                    os.fchmod(lock, PRIVATE)
                return lock
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        os.close(lock)


def check_place(path: Path) -> None:
    """Raises `StorageError` where a database, or what lies beside it, is not this user's to use.

    That is a symbolic link or no file at all, and in a folder where everybody may write what is
    another user's; elsewhere what lies beside may also be of the database's owner.
    """
    real = _real(path)
    try:
        shared = bool(real.parent.stat().st_mode & stat.S_IWOTH)
        owners = {os.geteuid()} if hasattr(os, "geteuid") else set()
        for suffix in ("", *BESIDE):
            with suppress(FileNotFoundError):
                file = Path(f"{path}{suffix}")
                status = Path(f"{real}{suffix}").lstat()
                _check_kind(file, status)
                if not suffix and not shared:
                    owners |= {status.st_uid}
                if owners and status.st_uid not in owners:
                    raise StorageError(
                        f"{file} belongs to another user; take it away, or put the database into a"
                        " folder where only you can write (RUNWRIGHT_DATABASE_URL)"
                    )
    except FileNotFoundError:
        return  # no folder, hence nothing in it


def _check_kind(file: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise StorageError(
            f"{file} is a symbolic link, and nothing is written through one; name the file itself"
            " (RUNWRIGHT_DATABASE_URL)"
        )
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{file} is no file; name another one (RUNWRIGHT_DATABASE_URL)")


def _real(path: Path) -> Path:
    """The file by its one name: its folder may be named by a link, it may not."""
    return path.parent.resolve() / path.name


def read_owner(path: Path) -> Owner | None:
    """Who holds the file as its note says, None where no note can be read."""
    try:
        # Not through a link, nor held up by a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(f"{_real(path)}.owner", flags)) as file:
            status = os.fstat(file.fileno())
            owner = Owner(**json.loads(file.read(10_000)))
    except (OSError, ValueError, TypeError):
        return None
    return owner if _is_private(status) else Owner(owner.pid, owner.url)


def _is_private(status: os.stat_result) -> bool:
    """Whether nobody but this user can have written it, or read it."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _write(note: Path, server: ServerAddress | None) -> None:
    content = {"pid": os.getpid(), "url": server and server.url}
    if server is not None:
        content["secret"] = server.secret
    with os.fdopen(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "w") as file:
        file.write(json.dumps(content))


class _UncutSaver(AsyncSqliteSaver):
    """Lists to the end, also where who asked has left meanwhile.

    The cursor of a statement that is cancelled is closed by nobody, and is kept by the thread of
    the connection until its next statement has begun: who asks next would see the database as
    it was for who has left.
    """

    async def alist(self, *place: Any, **bounds: Any) -> AsyncIterator[CheckpointTuple]:
        found = super().alist(*place, **bounds)
        for one in await asyncio.shield(asyncio.ensure_future(_all(found))):
            yield one


async def _all(found: AsyncIterator[CheckpointTuple]) -> list[CheckpointTuple]:
    return [one async for one in found]


class SqliteSaver(FoldingSaver, _UncutSaver):
    """Reads as the stock saver does, on a connection of its own. The tables must exist.

    No other program writes the file beside this one.
    """

    writes_differences = True

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(connection, writer, connection, serde=strict_serializer())
        self.is_setup = True


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
    index = SqliteIndex(for_index, writer, searcher)
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
    check = TableProbe(for_index, writer).check
    try:
        await check()
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
        check=check,
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
