"""Whether a SQLite file is sound: what fails on its connections, its tables, and the whole of it.

A damaged page fails where it is read, so every connection is watched; a page that nobody
has come upon is looked for in each table that a run needs, and after an unclean end in all pages.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiosqlite

from graph.storage.sql.statements import Statement
from graph.storage.sqlite.writer import SqliteWriter
from graph.storage.storage import StorageFaults

logger = logging.getLogger("runwright.storage")

#: What is to be done about a damaged file.
MALFORMED = "malformed: put back a copy (`runwright backup`)"

#: SQLite's codes for a file whose pages are not what they have to be.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Notice = Callable[[sqlite3.DatabaseError], None]


def is_damage(error: BaseException | None) -> bool:
    """Whether an error says that the file is damaged, which no further try mends."""
    # The lowest byte is the kind, what is above it says more.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def watching(path: Path, faults: StorageFaults) -> Notice:
    """What notices damage of this file among its errors."""

    def notice(error: sqlite3.DatabaseError) -> None:
        if is_damage(error):
            faults.note_damage(MALFORMED, where=f"the database {path}")

    return notice


def watched(notice: Notice) -> type[sqlite3.Connection]:
    """The `factory` of connections whose errors are noticed, on all of them."""
    # It has to make connections, and need not be a class.
    return cast("type[sqlite3.Connection]", partial(_WatchedConnection, notice))


class _WatchedConnection(sqlite3.Connection):
    def __init__(self, notice: Notice, *arguments: Any, **options: Any) -> None:
        self.notice = notice
        super().__init__(*arguments, **options)

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(_WatchedCursor)

    # The inherited ones make a cursor of the stock class. Each statement of a run comes by here.

    def execute(self, *arguments: Any) -> Any:
        return super().cursor(_WatchedCursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        return super().cursor(_WatchedCursor).executemany(*arguments)


class _WatchedCursor(sqlite3.Cursor):
    """A row may be the one on the damaged page: reading on is watched as well."""

    connection: _WatchedConnection

    def execute(self, *arguments: Any) -> Any:
        try:
            return super().execute(*arguments)
        except sqlite3.DatabaseError as error:
            self.connection.notice(error)
            raise

    def executemany(self, *arguments: Any) -> Any:
        return self._watched(super().executemany, *arguments)

    def fetchone(self) -> Any:
        return self._watched(super().fetchone)

    def fetchmany(self, *arguments: Any, **options: Any) -> Any:
        return self._watched(super().fetchmany, *arguments, **options)

    def fetchall(self) -> Any:
        return self._watched(super().fetchall)

    def __next__(self) -> Any:
        return self._watched(super().__next__)

    def _watched(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return act(*arguments, **options)
        except sqlite3.DatabaseError as error:
            self.connection.notice(error)
            raise


# The tables that a run needs, read and written.


#: How often the tables are looked at however often it is asked, in seconds; that anything can be
#: written at all is looked at each time.
TABLES_EVERY = 10.0

#: The last entry of each table by the keys that it is found by; of the index for full text, what
#: says where its parts are.
_READS = (
    "SELECT rowid, run_id, owner, prompt, status FROM runs ORDER BY rowid DESC LIMIT 1",
    "SELECT run_id FROM runs ORDER BY number DESC LIMIT 1",
    "SELECT rowid, thread_id, checkpoint_id FROM checkpoints ORDER BY rowid DESC LIMIT 1",
    "SELECT thread_id FROM checkpoints ORDER BY thread_id DESC, checkpoint_id DESC LIMIT 1",
    "SELECT rowid, thread_id, checkpoint_id FROM writes ORDER BY rowid DESC LIMIT 1",
    "SELECT rowid, prefix, key FROM store ORDER BY rowid DESC LIMIT 1",
    "SELECT prefix, key FROM store ORDER BY prefix DESC, key DESC LIMIT 1",
    "SELECT rowid, owner, name, run_id FROM request_keys ORDER BY rowid DESC LIMIT 1",
    "SELECT * FROM spending ORDER BY day DESC, owner DESC LIMIT 1",
    "SELECT * FROM spending_held LIMIT 1",
    "SELECT * FROM owners ORDER BY ordinal DESC LIMIT 1",
    "SELECT rowid FROM runs_text WHERE runs_text MATCH 'probe' LIMIT 1",
)

#: One entry more for each table, with its indexes and triggers; none of them stays.
_WRITES = (
    "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts)"
    " VALUES ('probe', 'probe', 'probe', '{}', 0, 'pending', 0)",
    "INSERT INTO request_keys VALUES ('probe', 'probe', '', 'probe', 0)",
    "INSERT INTO checkpoints (thread_id, checkpoint_id) VALUES ('probe', 'probe')",
    "INSERT INTO writes (thread_id, checkpoint_id, task_id, idx, channel)"
    " VALUES ('probe', 'probe', 'probe', 0, 'probe')",
    "INSERT INTO store (prefix, key, value) VALUES ('probe', 'probe', '{}')",
    "INSERT INTO spending VALUES ('probe', 'probe', 0, 0, 0)",
    "INSERT INTO spending_held VALUES ('probe', 'probe', 'probe', 'probe', 0, 0)",
)


def _rolled_back(statements: Iterable[str]) -> Iterable[Statement]:
    """The statements as part of a transaction that continues as if they had not been."""
    yield from ((one, ()) for one in ("SAVEPOINT probe", *statements))
    yield from ((one, ()) for one in ("ROLLBACK TO probe", "RELEASE probe"))


class TableProbe:
    """Reads and writes every table that a run needs; `clock` in seconds."""

    def __init__(
        self,
        reader: aiosqlite.Connection,
        writer: SqliteWriter,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._due = clock()

    async def check(self) -> None:
        """Raise what SQLite says when something cannot be read or written now."""
        tables = self._clock() >= self._due
        if tables:
            self._due = self._clock() + TABLES_EVERY  # those that ask meanwhile need not wait
        try:
            note: Statement = ("UPDATE probe SET at = ? WHERE id = 1", (time.time(),))
            await self._writer.write(*(_rolled_back(_WRITES) if tables else ()), note)
            for read in _READS if tables else ():
                await self._reader.execute_fetchall(read)
        except BaseException:
            if tables:  # not known yet: the next one looks again
                self._due = self._clock()
            raise


# All pages, after an unclean end.


#: How long they are looked at, in seconds: a large file is looked at in part.
LONGEST_CHECK = 30.0

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY rowid"


@asynccontextmanager
async def checking(
    connection: aiosqlite.Connection, notice: Notice, *, longest: float = LONGEST_CHECK
) -> AsyncIterator[None]:
    """Look at every table and index beside everything else, for `longest` seconds at most.

    `connection` is used by nobody else.
    """
    check = asyncio.create_task(_bounded(connection, notice, longest))
    try:
        yield
    finally:
        check.cancel()
        await connection.interrupt()
        await asyncio.wait([check])


async def _bounded(connection: aiosqlite.Connection, notice: Notice, longest: float) -> None:
    try:
        async with asyncio.timeout(longest):
            await _quick_check(connection, notice)
    except TimeoutError:
        await connection.interrupt()
        logger.info("the database was looked at for %.0f s, not to its end", longest)


async def _quick_check(connection: aiosqlite.Connection, notice: Notice) -> None:
    """Table by table, so that no reading lasts: it keeps the log of writes from being reused."""
    with suppress(sqlite3.Error):  # what it says of damage is noticed by the connection
        for (name,) in await connection.execute_fetchall(_TABLES):
            quoted = name.replace('"', '""')
            rows = [*await connection.execute_fetchall(f'PRAGMA quick_check("{quoted}")')]
            if rows != [("ok",)]:
                notice(_malformed(str(rows[0][0])))


def _malformed(words: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
