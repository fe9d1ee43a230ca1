"""What is done with the file beside its runs: it is searched, tried, cleared and made smaller.

Owners take turns on the connection that searches, and what it reads is counted in steps. A step is
one of SQLite's machine, the same on every computer. Reading in the index for full text takes few of
them, each of which goes through a page of it.

Pages that become free are used by the next runs, so most files keep the size that they need. One of
which more than half is free is written anew. SQLite could move its last pages one by one instead
(`auto_vacuum`), but keeps a map for that, and with that map a run writes 8 % more to the log.

A damaged page that nobody has come upon is looked for in each table that a run needs.
"""

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from graph.storage.sql.bookkeeping import SqlDeletion
from graph.storage.sql.statements import JsonLists, Statement
from graph.storage.sqlite.connections import BUSY_TIMEOUT, LARGEST_WAL, SqliteWriter

#: A statement for which others wait may take this part of the steps that it may take otherwise.
SHARE = 8

Rows = list[tuple[Any, ...]]


class FairLock:
    """Lets one in at a time; each owner's next one comes after those of all others who wait."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._taken = False

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """The lock for this owner, once it is free."""
        if self._taken:
            acquired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(owner, deque()).append(acquired)
            await acquired
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for the lock; any thread may ask."""
        return bool(self._waiting)

    def _pass_on(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        owner, waiting = self._waiting.popitem(last=False)
        acquired = waiting.popleft()
        if waiting:
            self._waiting[owner] = waiting
        acquired.set_result(None)


class Searcher:
    """Reads for one search after the other, a statement at a time."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = FairLock()
        self._every = 0
        self._looks = 0
        self._most: int | None = None
        self._ended = False

    async def fetch(self, owner: str, sql: str, values: Sequence[Any]) -> Rows:
        """The rows of a statement that takes few steps."""
        rows, _ = await self.read(owner, sql, values, every=self._every or 1_000_000, most=None)
        return rows or []

    async def read(
        self, owner: str, sql: str, values: Sequence[Any], *, every: int, most: int | None
    ) -> tuple[Rows | None, int]:
        """The rows of a statement, and how many steps it took, in units of `every`.

        No rows where it took more than `most` such units, or a `SHARE` of them while others wait,
        and was ended.
        """
        # What is read is read to its end, though its caller may go; no other is read meanwhile.
        return await asyncio.shield(self._read(owner, sql, values, every, most))

    async def _read(
        self, owner: str, sql: str, values: Sequence[Any], every: int, most: int | None
    ) -> tuple[Rows | None, int]:
        async with self._lock.of(owner):
            if every != self._every:
                await self._connection.set_progress_handler(self._look, every)
                self._every = every
            self._looks, self._most, self._ended = 0, most, False
            try:
                rows = [*await self._connection.execute_fetchall(sql, values)]
            except sqlite3.OperationalError:
                if not self._ended:
                    raise
                return None, self._looks * every
            return rows, self._looks * every  # type: ignore[return-value]  # rows are tuples here

    def _look(self) -> int:
        """Called by SQLite in the thread of the connection; anything but 0 ends the statement."""
        self._looks += 1
        self._ended = self._is_over()
        return self._ended

    def _is_over(self) -> bool:
        if self._most is None:
            return False
        # Who is alone may go on for longer.
        return self._looks > (self._most // SHARE if self._lock.is_waited_for else self._most)


#: Written to the row by its own triggers, so that whatever stores or removes a run need not care.
# What it searches.


SEARCH_TABLES = (
    "ALTER TABLE runs ADD COLUMN number INTEGER",
    "ALTER TABLE runs ADD COLUMN planner TEXT",
    "ALTER TABLE runs ADD COLUMN model TEXT",
    "ALTER TABLE runs ADD COLUMN tools TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE runs ADD COLUMN usd REAL",
    "ALTER TABLE runs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN taken_up INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN duration REAL AS (completed_at - started_at)",
    "UPDATE runs SET number = rowid",
    "CREATE UNIQUE INDEX runs_number ON runs (number)",
    """
    CREATE INDEX runs_facts ON runs (
        owner, status, number, created_at, planner, model, tools, usd, retries, taken_up, duration
    )
    """,
    """
    CREATE VIRTUAL TABLE runs_text USING fts5(
        prompt, content = '', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    "INSERT INTO runs_text (rowid, prompt) SELECT number, prompt FROM runs",
    """
    CREATE TRIGGER runs_numbered AFTER INSERT ON runs BEGIN
        UPDATE runs SET number = (SELECT coalesce(max(number), 0) + 1 FROM runs)
        WHERE run_id = new.run_id;
        INSERT INTO runs_text (rowid, prompt)
        SELECT number, prompt FROM runs WHERE run_id = new.run_id;
    END
    """,
    """
    CREATE TRIGGER runs_text_removed AFTER DELETE ON runs BEGIN
        INSERT INTO runs_text (runs_text, rowid, prompt) VALUES ('delete', old.number, old.prompt);
    END
    """,
)


#: Runs whose duration or cost is not known are left out: a run is written here when it is settled.
SORT_INDEXES = (
    """
    CREATE INDEX runs_by_duration ON runs (owner, duration, number) WHERE duration IS NOT NULL
    """,
    "CREATE INDEX runs_by_cost ON runs (owner, usd, number) WHERE usd IS NOT NULL",
)


#: The full-text index anew, over prompts as they are searched; `searchable` is a function of the
#: writer's connection.
TEXT_TABLES = (
    "DROP TRIGGER runs_numbered",
    "DROP TRIGGER runs_text_removed",
    "DROP TABLE runs_text",
    """
    CREATE VIRTUAL TABLE runs_text USING fts5(
        prompt, content = '', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    "INSERT INTO runs_text (rowid, prompt) SELECT number, searchable(prompt) FROM runs",
    """
    CREATE TRIGGER runs_numbered AFTER INSERT ON runs BEGIN
        UPDATE runs SET number = (SELECT coalesce(max(number), 0) + 1 FROM runs)
        WHERE run_id = new.run_id;
        INSERT INTO runs_text (rowid, prompt)
        SELECT number, searchable(prompt) FROM runs WHERE run_id = new.run_id;
    END
    """,
    """
    CREATE TRIGGER runs_text_removed AFTER DELETE ON runs BEGIN
        INSERT INTO runs_text (runs_text, rowid, prompt)
        VALUES ('delete', old.number, searchable(old.prompt));
    END
    """,
)


# Room.


logger = logging.getLogger("runwright.storage")

#: The least that is worth it, and the most that is written anew beside runs, which wait meanwhile:
#: about a second, in bytes.
LEAST_FREE, LARGEST = 16 * 2**20, 64 * 2**20


class SqliteSpace:
    """The room of one file, looked at after runs were removed from it.

    `reader` is asked how much is free, `factory` makes the connection that writes the file anew.
    """

    def __init__(
        self,
        path: Path,
        reader: aiosqlite.Connection,
        factory: type[sqlite3.Connection],
        *,
        least_free: int = LEAST_FREE,
        largest: int = LARGEST,
    ) -> None:
        self._path = path
        self._reader = reader
        self._factory = factory
        self._least_free = least_free
        self._largest = largest

    async def __call__(self) -> int:
        """Write the file anew if more than half of it is free; the bytes that it is smaller then.

        Raises `sqlite3.Error`, and then the file is as it was.
        """
        free, used = await self._pages()
        if free < max(self._least_free, used) or used > self._largest:
            return 0
        async with aiosqlite.connect(
            self._path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=self._factory
        ) as connection:
            await connection.execute_fetchall(f"PRAGMA journal_size_limit={LARGEST_WAL}")
            try:
                await connection.execute_fetchall("VACUUM")
            except asyncio.CancelledError:  # the process ends; nothing has changed
                await connection.interrupt()
                raise
            await connection.execute_fetchall("PRAGMA wal_checkpoint")
        logger.info("room given back", extra={"bytes": free})
        return free

    async def _pages(self) -> tuple[int, int]:
        """Free and used bytes."""
        names = ("page_size", "page_count", "freelist_count")
        rows = [await self._reader.execute_fetchall(f"PRAGMA {name}") for name in names]
        size, count, free = (int(row[0]) for [row] in rows)
        return free * size, (count - free) * size


class SqliteDeletion(SqlDeletion):
    """Removes runs through the file's one writer."""

    def __init__(self, writer: SqliteWriter) -> None:
        super().__init__(writer, LISTS)


LISTS = JsonLists(
    pairs="SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS generation"
    " FROM json_each(?)",
    values="SELECT value FROM json_each(?)",
)


# Every table, tried.


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
