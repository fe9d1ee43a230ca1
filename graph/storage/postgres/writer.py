"""The one connection of a process through which it writes, whatever it writes.

What arrives while a transaction is being written becomes the next one, so that the disk is waited
for once for all of it, and nothing in this process ever waits for a lock of its own.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from graph.storage.fleet import Lease, LeaseLost, SoleLease, lease
from graph.storage.postgres.connection import (
    SCHEMA,
    Connect,
    Connection,
    answered,
    beginning,
    execute_all,
)
from graph.storage.sql.statements import Statement

#: Most submissions in one transaction, so that none waits long for the others, and most bytes of
#: values from which on no further one joins.
MAX_BATCH, MAX_BYTES = 64, 2**22


class Written(NamedTuple):
    """How many rows a statement has changed, and the first one that it returned."""

    changed: int
    row: tuple[Any, ...] | None


@dataclass(frozen=True)
class _Submission:
    """Statements that are written all or not at all; `durable` ones wait for the disk.

    Where they are of an execution, nothing is written unless its `lease` is good.
    """

    statements: Sequence[Statement]
    durable: bool
    lease: Lease | SoleLease | None
    done: asyncio.Future[Sequence[Written]]

    @property
    def is_of_run(self) -> bool:
        """Whether it changes rows that those of other runs change, too, as their owner's."""
        of_several = " runs ", " spending ", "note_written"
        return any(name in sql for sql, _ in self.statements for name in of_several)

    @property
    def size(self) -> int:
        """The bytes of its values, about."""
        given = (value for _, values in self.statements for value in values)
        return sum(len(value) for value in given if isinstance(value, bytes | str))


class PostgresWriter:
    """Writes what is submitted, in that order, several submissions in one transaction.

    `fence` gives the expressions that each transaction begins with, for one that waits for the disk
    or does not, and that changes several runs or does not: one fails in a process to which the
    database no longer belongs; `refused` is given what it raised.
    `timed` is told how long each transaction took, in seconds. Raises `psycopg.Error`.
    """

    def __init__(
        self,
        connect: Connect,
        fence: Callable[[bool, bool], Sequence[str]],
        refused: Callable[[psycopg.Error], None],
        timed: Callable[[float], None] | None = None,
    ) -> None:
        self._connect = connect
        self._fence = fence
        self._refused = refused
        self._timed = timed
        self._connection: Connection | None = None
        self._submitted: asyncio.Queue[_Submission | None] = asyncio.Queue()
        self._closed = False
        self._task = asyncio.create_task(self._serve())

    async def write(self, *statements: Statement, durable: bool = False) -> int:
        """Write the statements in one transaction; how many rows the last one changed.

        The death of the process after this returned loses nothing; one of the database's machine
        may, unless it was `durable`. A caller that is cancelled does not undo its write. Raises
        `psycopg.Error`, and then nothing of it was written, unless the connection was lost: then
        that is not known. Raises `LeaseLost` where the run that is executed here is to be
        resumed from what is stored; then nothing was written either.
        """
        written = await self.write_each(*statements, durable=durable)
        return written[-1].changed

    async def write_each(self, *statements: Statement, durable: bool = False) -> Sequence[Written]:
        """The same; what each statement did."""
        if self._closed:
            raise psycopg.InterfaceError("the database is closed")
        done: asyncio.Future[Sequence[Written]] = asyncio.get_running_loop().create_future()
        self._submitted.put_nowait(_Submission(statements, durable, lease.get(), done))
        try:
            return await done
        except psycopg.DatabaseError as error:
            if error.sqlstate == LEASE_LOST:
                raise LeaseLost from None
            raise

    async def aclose(self) -> None:
        """Write what was submitted, then close the connection; also where nobody waits for it."""
        self._closed = True
        self._submitted.put_nowait(None)
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        try:
            await self._write_all()
        finally:
            if self._connection:
                await self._connection.close()

    async def _write_all(self) -> None:
        while (first := await self._submitted.get()) is not None:
            batch, size = [first], first.size
            while len(batch) < MAX_BATCH and size < MAX_BYTES and not self._submitted.empty():
                if (following := self._submitted.get_nowait()) is None:
                    self._submitted.put_nowait(None)  # the end, once this batch is written
                    break
                batch.append(following)
                size += following.size
            await self._write(batch)

    async def _write(self, batch: list[_Submission]) -> None:
        began = time.perf_counter()
        outcomes: list[Sequence[Written] | Exception]
        try:
            outcomes = [*await self._transaction(batch)]
        except psycopg.errors.DeadlockDetected:
            # With another process, over the rows of several runs: each alone is in no other's way.
            outcomes = [await self._alone(one) for one in batch]
        except psycopg.OperationalError as error:
            self._refused(error)
            # The database is not there or its disk full, which is no better for each of them alone.
            outcomes = [error] * len(batch)
        except Exception as error:
            # One bad submission must not fail the others: each gets a transaction of its own.
            outcomes = [error] if len(batch) == 1 else [await self._alone(one) for one in batch]
        if self._timed:
            self._timed(time.perf_counter() - began)
        for submission, outcome in zip(batch, outcomes, strict=True):
            if submission.done.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Exception):
                submission.done.set_exception(outcome)
            else:
                submission.done.set_result(outcome)

    async def _alone(self, submission: _Submission) -> Sequence[Written] | Exception:
        try:
            return (await self._transaction([submission]))[0]
        except Exception as error:  # also half a surrogate pair; the task must outlive it
            return error

    async def _transaction(self, batch: Sequence[_Submission]) -> list[Sequence[Written]]:
        several = sum(submission.is_of_run for submission in batch) > 1
        fence = self._fence(any(submission.durable for submission in batch), several)
        leases = dict.fromkeys(one.lease for one in batch if one.lease is not None)
        checks = [lease_check(mine) for mine in leases]
        first = beginning(*fence, *(sql for sql, _ in checks))
        begun = (first, [value for _, mine in checks for value in mine])
        statements = [one for submission in batch for one in submission.statements]
        connection = await self._connected()
        try:
            cursor = await answered(execute_all(connection, begun, *statements))
        except psycopg.OperationalError:
            if connection.broken:
                self._connection = None
            raise
        return [[await _next(cursor) for _ in one.statements] for one in batch]

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
        return self._connection


async def _next(cursor: Any) -> Written:
    """What the statement after the one that a cursor is at has done."""
    cursor.nextset()
    return Written(cursor.rowcount, await cursor.fetchone() if cursor.description else None)


#: How Postgres names what `check_lease` raises: of a class that is none of its own.
LEASE_LOST = "RUNLL"


#: Where nobody else takes runs nothing is to be looked at but the mark; no job is the 0th.
_CHECK_MARK = f"""
    CASE WHEN NOT EXISTS (SELECT 1 FROM {SCHEMA}.since_loss WHERE mark = ?)
    THEN {SCHEMA}.check_lease(0, -1, '') END
"""  # noqa: S608 - constants only


def lease_check(lease: Lease | SoleLease) -> Statement:
    """The expression that fails in a transaction of who has not the lease any more."""
    if isinstance(lease, SoleLease):
        return _CHECK_MARK, (lease.mark,)
    return f"{SCHEMA}.check_lease(?, ?, ?)", (lease.job, lease.attempts, lease.mark)
