"""The connections to a SQLite file: one writes, all are watched; and LangGraph's store on them.

SQLite lets one connection write at a time. With a single writer nothing in this process ever finds
the file locked, and what arrives while a transaction is being written becomes the next one. A
damaged page fails where it is read; after an unclean end all pages are looked at.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiosqlite
from langgraph.store.base import GetOp, Item, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.base import validate_op_namespace as check_labels
from langgraph.store.sqlite.base import SqliteStore as StockStore

from graph.state.wording import searchable
from graph.storage.sql.statements import ONE_ITEM, LoopStore, Statement, bounds_of, item_of, within
from graph.storage.storage import StorageFaults
from tools.receipts import waits_for_disk

#: How long a transaction waits for another process's lock on the file, in seconds.
BUSY_TIMEOUT = 5.0

#: The same once the writer is being closed, when somebody waits for the process to end.
CLOSING_BUSY_TIMEOUT = 0.2

#: The bytes of a page of a file that is new; others keep what they have. What a transaction changes
#: goes to the log of writes page by page: with SQLite's usual 4,096 a run writes 1.6 times as much.
PAGE = 2048

#: The size that the log of writes (WAL) comes back to, in bytes, after a reader of another process
#: has kept it from being reused. Without one it has a thousand pages, which is no more.
LARGEST_WAL = 4 * 2**20

#: Most submissions in one transaction, so that none waits long for the others.
MAX_BATCH = 64


@dataclass(frozen=True)
class _Submission:
    """Statements that are written all or not at all; `durable` ones wait for the disk."""

    statements: Sequence[Statement]
    durable: bool
    done: asyncio.Future[int]
    loop: asyncio.AbstractEventLoop


class SqliteWriter:
    """Writes what is submitted, in that order, several submissions in one transaction.

    `timed` is told in the writer's thread how long each transaction took, in seconds. Raises
    `sqlite3.Error` when the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
        timed: Callable[[float], None] | None = None,
    ) -> None:
        self._timed = timed
        self._connection = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            factory=factory,
        )
        try:
            # What the triggers of the full-text index call.
            self._connection.create_function("searchable", 1, searchable, deterministic=True)
            self._connection.execute(f"PRAGMA page_size={PAGE}")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA journal_size_limit={LARGEST_WAL}")
            # What a statement could have to take back of a large batch needs no file of its own.
            self._connection.execute("PRAGMA temp_store=MEMORY")
            self._waits_for_disk = False
            self._sync(durable=True)
        except sqlite3.Error:
            self._connection.close()
            raise
        self._submitted: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="sqlite writer", daemon=True)
        self._thread.start()

    async def write(self, *statements: Statement, durable: bool = False) -> int:
        """Write the statements in one transaction; how many rows the last one changed.

        The death of the process after this returned loses nothing; a power cut may, unless it was
        `durable`. A caller that is cancelled does not undo its write. Raises `sqlite3.Error`, or
        `ValueError` for a value that SQLite cannot hold, and then nothing of it was written.
        """
        if self._closed:
            raise sqlite3.ProgrammingError("the database is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._submitted.put(_Submission(statements, durable, done, loop))
        return await done

    async def aclose(self) -> None:
        """Write what was submitted, then close the connection."""
        self._closed = True
        self._submitted.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _serve(self) -> None:
        while (first := self._submitted.get()) is not None:
            batch = [first]
            while len(batch) < MAX_BATCH and not self._submitted.empty():
                if (following := self._submitted.get()) is None:
                    self._submitted.put(None)  # the end, once this batch is written
                    break
                batch.append(following)
            self._write(batch)

    def _write(self, batch: list[_Submission]) -> None:
        began = time.perf_counter()
        try:
            counts: list[int | Exception] = [*self._transaction(batch)]
        except sqlite3.OperationalError as error:
            # The file is locked or the disk full, which is no better for each of them alone.
            counts = [error] * len(batch)
        except Exception as error:
            # One bad submission must not fail the others: each gets a transaction of its own.
            counts = [error] if len(batch) == 1 else [self._alone(one) for one in batch]
        if self._timed:
            self._timed(time.perf_counter() - began)
        loops = {submission.loop for submission in batch}
        for loop in loops:
            outcomes = [
                (one.done, count)
                for one, count in zip(batch, counts, strict=True)
                if one.loop is loop
            ]
            try:
                loop.call_soon_threadsafe(_tell, outcomes)
            except RuntimeError:
                continue  # that loop is closed; nobody is left to be told

    def _alone(self, submission: _Submission) -> int | Exception:
        try:
            return self._transaction([submission])[0]
        except Exception as error:  # also half a surrogate pair; the thread must outlive it
            return error

    def _transaction(self, batch: Sequence[_Submission]) -> list[int]:
        self._sync(durable=any(submission.durable for submission in batch))
        if self._closed:
            self._connection.execute(f"PRAGMA busy_timeout={CLOSING_BUSY_TIMEOUT * 1000:.0f}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            counts = [self._execute(submission) for submission in batch]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return counts

    def _execute(self, submission: _Submission) -> int:
        count = 0
        for sql, parameters in submission.statements:
            count = self._connection.execute(sql, parameters).rowcount
        return count

    def _sync(self, *, durable: bool) -> None:
        if durable != self._waits_for_disk:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._waits_for_disk = durable


def _tell(outcomes: list[tuple[asyncio.Future[int], int | Exception]]) -> None:
    for done, outcome in outcomes:
        if done.done():  # its caller was cancelled
            continue
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)


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


# LangGraph's store.


_WITHIN = f"{within('ORDER BY updated_at DESC')} LIMIT ? OFFSET ?"


class SqliteStore(LoopStore):
    """A store whose batches are written all or not at all, and never find the file locked.

    To read an owner's list takes less than to ask a thread for it: a reader of a log of writes
    (WAL) waits for nobody. The stock store gathers batches in a task and sends each to a thread,
    begins deferred, so that a batch which reads and then writes fails with "database is locked"
    when another connection wrote in between, commits what a failing batch had written so far, and
    leaves the transaction of a cancelled one open. Its tables and its statements are used; what is
    written comes from its private `_prepare_batch_PUT_queries`, as a test pins.

    `connection` is this thread's, which is the loop's; nothing is written on it once it is set up.
    """

    def __init__(self, connection: sqlite3.Connection, writer: SqliteWriter) -> None:
        super().__init__()
        self._connection = connection
        self._stock = StockStore(connection)
        self._writer = writer

    def setup(self) -> None:
        """Make the tables, or bring them to the version of the library."""
        self._stock.setup()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Read what is asked for as it was before this batch, then write what is to be written."""
        ops = list(ops)
        results: list[Any] = [None] * len(ops)
        reads = [(place, op) for place, op in enumerate(ops) if not isinstance(op, PutOp)]
        puts = [(place, op) for place, op in enumerate(ops) if isinstance(op, PutOp)]
        if reads:
            [*asked] = (op for _, op in reads)
            found = self._stock.batch(asked) if len(asked) > 1 else [self._read(*asked)]
            for (place, _), result in zip(reads, found, strict=True):
                results[place] = result
        if puts:
            statements, _ = self._stock._prepare_batch_PUT_queries(puts)
            durable = any(waits_for_disk(op) for _, op in puts)
            await self._writer.write(*statements, durable=durable)
        return results

    def _read(self, op: Op) -> Result:
        """What one operation reads, as the stock store has it.

        That one looks for what lies below a namespace with GLOB, which SQLite plans anew each time.
        """
        check_labels(op)
        match op:
            case GetOp():
                place = ".".join(op.namespace), op.key
                rows = self._connection.execute(ONE_ITEM, place).fetchall()
                return next((item_of(Item, row) for row in rows), None)
            case SearchOp(query=None) if op.namespace_prefix and not op.filter:
                bounds = *bounds_of(op.namespace_prefix), op.limit, op.offset
                rows = self._connection.execute(_WITHIN, bounds).fetchall()
                return [item_of(SearchItem, row) for row in rows]
        return self._stock.batch([op])[0]
