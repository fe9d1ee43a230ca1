"""One process owns a Postgres database: a lock of a connection of its own, and a number.

The lock (an advisory one of the session) keeps a second server away. It is not enough by itself: a
cut connection gives it back under a process that lives. So each owner has a number higher than the
one before, and each transaction looks whether it is still the last: who lost the lock writes no
more, takes it back if nobody has had it since, and ends if somebody has. A database that crashed
may have lost what came last, and has another mark then (`leases`): no execution of before writes.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import time

import psycopg

from graph.storage.fleet import SoleLease
from graph.storage.owned import DatabaseOwned, Owner, ServerAddress
from graph.storage.postgres.connection import SCHEMA, Connect, Connection, answered, execute

logger = logging.getLogger("runwright.storage")

#: The keys of the advisory locks ("RUNW"): who owns the database, who writes just now (shared, and
#: held alone while the owner changes), and who changes the tables.
APPLICATION, OWNER, WRITERS, TABLES = 0x52554E57, 1, 2, 3

#: And the one that processes have together which hear what has changed.
FOLLOWERS = 6

#: How often the connection that has the lock is asked whether it is there, and how long that may
#: take; how often it is tried to take the lock back. All in seconds.
BEAT, LATE, AGAIN = 2.0, 8.0, 0.5

#: How Postgres names what `fence` raises.
FENCED = "55RUN"

#: What the process ends with when the database has come to belong to another one.
TAKEN = 75

_LOCK = "SELECT pg_try_advisory_lock(?, ?)"

#: Whether others have it together, which keeps out who wants it alone.
_SHARED = """
    SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
        AND classid = ? AND objid = ? AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

_EPOCH = f"SELECT epoch FROM owner WHERE id = {OWNER}"  # noqa: S608 - constants only

#: Nobody writes while the number changes, so that no transaction of the one before comes after it.
_TAKE = """
    SELECT pg_advisory_xact_lock(?, ?);
    UPDATE owner SET epoch = epoch + 1, pid = ?, url = ?, secret = ?, since = ? RETURNING epoch
"""

_MARK = "SELECT current_mark()"

#: The class of what Postgres raises as it ends.
_ENDING = "57P"

_LEAVE = "UPDATE owner SET pid = NULL, url = NULL, secret = NULL WHERE epoch = ?"


class DatabaseLost(psycopg.OperationalError):
    """Nothing is written just now: it is not known whether the database still belongs to this."""

    def __init__(self) -> None:
        super().__init__("the connection that holds the database was lost")


def end_process() -> None:
    """End at once: whatever is executed here is executed by the other process now."""
    logging.shutdown()
    os._exit(TAKEN)


class Ownership:
    """A database that is held, for as long as its connection is watched by `watching`."""

    def __init__(
        self,
        connect: Connect,
        connection: Connection,
        place: str,
        end: Callable[[], None] = end_process,
    ) -> None:
        self._connect = connect
        self._connection = connection
        self._place = place
        self._end = end
        self._held = True
        self.epoch = 0
        self.look = asyncio.Event()
        self._lease = SoleLease("")

    @property
    def lease(self) -> SoleLease:
        """The right to execute runs from now on."""
        return self._lease

    def fence(self, durable: bool, _: bool) -> Sequence[str]:
        """The expressions that a transaction begins with, that waits for the disk or does not.

        Raises `DatabaseLost` while nothing is to be written.
        """
        if not self._held:
            raise DatabaseLost
        return [f"{SCHEMA}.fence({self.epoch}, {str(durable).lower()})"]

    def refused(self, error: psycopg.Error) -> None:
        """What the database raised; the process ends where that is its fence."""
        if error.sqlstate == FENCED:
            self._taken()
        elif (error.sqlstate or _ENDING).startswith(_ENDING):  # nothing is known of its answer
            self.look.set()

    def _taken(self) -> None:
        logger.error("%s belongs to another process now; this one ends", self._place)
        self._end()

    async def take(self, server: ServerAddress | None) -> None:
        """Become the one whose transactions are let through; the tables are there."""
        values = os.getpid(), server and server.url, server and server.secret, time()
        cursor = await execute(self._connection, _TAKE, (APPLICATION, WRITERS, *values))
        cursor.nextset()
        [self.epoch] = await cursor.fetchone()
        await self._look_at_mark(self._connection)
        self.look.clear()  # what is stored by now is looked at in any case

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """See to it that the lock is held, for as long as the context lasts; then give it back."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait([watch])
            with suppress(psycopg.Error):
                await answered(execute(self._connection, _LEAVE, [self.epoch]))

    async def close(self) -> None:
        """Give the lock back."""
        await self._connection.close()

    async def _watch(self) -> None:
        while True:
            with suppress(psycopg.Error, TimeoutError):
                await self._until_lost()
            self._held = False
            logger.warning("the connection that holds %s was lost", self._place)
            await self._connection.close()
            while not self._held:
                await asyncio.sleep(AGAIN)
                with suppress(psycopg.Error, TimeoutError):
                    self._held = await self._taken_back()
            self.look.set()
            logger.warning("%s is held again, and nobody has had it meanwhile", self._place)

    async def _until_lost(self) -> None:
        """Raises `psycopg.Error` or `TimeoutError` when the connection is not there any more."""
        while True:
            async with asyncio.timeout(LATE):
                await self._look_at_mark(self._connection)
            # A connection that is closed from the other end is noticed at once.
            async for _ in self._connection.notifies(timeout=BEAT):
                pass

    async def _look_at_mark(self, connection: Connection) -> None:
        [mark] = await (await execute(connection, _MARK)).fetchone()
        if mark != self._lease.mark:
            self._lease = SoleLease(mark)
            self.look.set()

    async def _taken_back(self) -> bool:
        """Whether the lock is held again; the process ends where another one has had it."""
        connection = await self._connect()
        try:
            cursor = await answered(execute(connection, _LOCK, (APPLICATION, OWNER)))
            [locked] = await cursor.fetchone()
            owner = await (await answered(execute(connection, _EPOCH))).fetchone()
            if owner is None or owner[0] != self.epoch:
                self._taken()
                return False
            if locked:
                await answered(self._look_at_mark(connection))
                self._connection, connection = connection, self._connection
            return bool(locked)
        finally:
            await connection.close()


async def _locked(connection: Connection) -> bool:
    """Whether the lock was got; one that was killed just now keeps it for some milliseconds."""
    for wait in (0.02, 0.05, 0.1, 0.2, 0.0):
        cursor = await execute(connection, _LOCK, (APPLICATION, OWNER))
        [locked] = await cursor.fetchone()
        if locked:
            return True
        await asyncio.sleep(wait)
    return False


async def own(
    connect: Connect,
    place: str,
    owner_now: Callable[[], Owner | None],
    end: Callable[[], None] = end_process,
) -> Ownership:
    """Hold the database for this process.

    Raises `DatabaseOwned` at once when another process holds it, with `owner_now` to say which.
    """
    connection = await connect()
    try:
        if not await _locked(connection):
            cursor = await execute(connection, _SHARED, (APPLICATION, OWNER))
            [shared] = await cursor.fetchone()
            # A note is of one that had it alone before, and was killed.
            owner = None if shared else await asyncio.to_thread(owner_now)
            raise DatabaseOwned(place, owner, kind="database", owner_now=owner_now, shared=shared)
    except BaseException:
        await connection.close()
        raise
    return Ownership(connect, connection, place, end)
