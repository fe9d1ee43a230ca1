"""The one writer of a SQLite file: a thread and a connection through which every write goes.

SQLite lets one connection write at a time. With a single writer nothing in this process ever finds
the file locked, and what arrives while a transaction is being written becomes the next one.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graph.state.wording import searchable
from graph.storage.sql.statements import Statement

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
