"""Who may write to a Postgres database: the one process that owns it, or who has a run's lease.

To own it there is a lock of a connection of its own, and a number. The lock (an advisory one of the
session) keeps a second server away. It is not enough by itself: a cut connection gives it back
under a process that lives. So each owner has a number higher than the one before, and each
transaction looks whether it is still the last: who lost the lock writes no more, takes it back if
nobody has had it since, and ends if somebody has.

Where several processes have it, each has leases of the jobs that it took, which end with a crash.
Checkpoints and effects do not wait for the disk. A database that crashes, or is replaced by its
standby, may have lost the last of them under a process that lives and knows of them, and what that
one writes next would build on what is not there. So a lease is of the time since such a loss: a
table that is not logged is empty after one, and after nothing else, and has the mark of that time.
Who has a lease of another one is refused, and the run goes on from what is stored.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import time

import psycopg

from graph.state.status import UNSETTLED
from graph.storage.fleet import SoleLease
from graph.storage.postgres.connection import SCHEMA, Connect, Connection, answered, execute
from graph.storage.postgres.writer import LEASE_LOST
from graph.storage.records import DatabaseOwned, Owner, ServerAddress
from graph.storage.sql.statements import listed

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


# Leases of jobs.


#: Where jobs are, and what stores one.
JOB_COLUMNS = "procrastinate_jobs (queue_name, priority, task_name, lock, queueing_lock, args)"

#: The queues: runs in the order of acceptance, and orders, which are carried out before.
RUNS, ORDERS = "runs", "orders"


#: `check_lease` with two arguments is that of earlier programs.
MARK_TABLES = f"""
    CREATE UNLOGGED TABLE since_loss (
        id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
        mark text NOT NULL DEFAULT gen_random_uuid()::text
    );
    CREATE FUNCTION current_mark() RETURNS text LANGUAGE plpgsql AS $$ DECLARE current text; BEGIN
        SELECT mark INTO current FROM since_loss;
        IF NOT FOUND THEN
            INSERT INTO since_loss DEFAULT VALUES ON CONFLICT DO NOTHING;
            SELECT mark INTO current FROM since_loss;
        END IF;
        RETURN current;
    END $$;
    CREATE FUNCTION check_lease(mine bigint, at integer, since text) RETURNS void
    LANGUAGE plpgsql AS $$ BEGIN
        PERFORM 1 FROM procrastinate_jobs, since_loss
        WHERE procrastinate_jobs.id = mine AND status = 'doing' AND attempts = at AND mark = since
        FOR SHARE OF procrastinate_jobs;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the run was taken over' USING ERRCODE = '{LEASE_LOST}';
        END IF;
    END $$
"""  # noqa: S608 - constants only

#: How a worker takes a job, in one transaction. The row of the run is read when its job is taken,
#: so that what was ordered before is in it.
TAKE_FUNCTION = """
    CREATE FUNCTION take_run(
        queues varchar[], worker bigint, OUT job bigint, OUT attempt integer, OUT since text,
        OUT run text, OUT fresh boolean, OUT waited boolean, OUT begins boolean, OUT stored runs
    ) LANGUAGE plpgsql AS $$ DECLARE taken procrastinate_jobs; BEGIN
        taken := procrastinate_fetch_job_v2(queues, worker);
        IF taken.id IS NULL THEN
            RETURN;
        END IF;
        job := taken.id; attempt := taken.attempts; since := current_mark();
        run := taken.queueing_lock; fresh := attempt = 0 AND taken.args->'new' IS NOT NULL;
        waited := taken.args->'waits' IS NOT NULL AND taken.args->'begun' IS NULL;
        SELECT * INTO stored FROM runs WHERE run_id = run;
        IF stored.status IN ('pending', 'running') AND stored.cancel_at IS NULL THEN
            begins := begin_run(job, attempt, stored.thread_id);
        END IF;
    END $$
"""

#: And how it ends one. The run that the thread is at next has no job where it found another one
#: before it; of two that end jobs of a thread the second sees what the first has left. `more` says
#: that there is a job of which nothing is told. One that is just being taken is seen as it was: to
#: wait for it would be to wait for each other. The job's run is looked up before its status: a join
#: of the two goes through all that have lately been unsettled.
FINISH_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION finish_run(
        mine bigint, at integer, thread text, only_if_ended boolean, OUT gone boolean,
        OUT more boolean
    ) LANGUAGE plpgsql AS $$ DECLARE run text; BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended(thread, 0));
        gone := NOT only_if_ended;
        IF NOT gone THEN
            SELECT lock INTO run FROM procrastinate_jobs WHERE id = mine;
            gone := NOT coalesce(
                (SELECT status IN ('pending', 'running') FROM runs WHERE run_id = run), FALSE
            );
        END IF;
        IF NOT gone THEN
            RETURN;
        END IF;
        DELETE FROM procrastinate_jobs WHERE id = mine AND attempts = at AND status = 'doing'
            RETURNING lock INTO run;
        INSERT INTO {JOB_COLUMNS} SELECT '{RUNS}', 0, 'run', run_id, run_id, '{{}}' FROM (
            SELECT run_id, status FROM runs
            WHERE thread_id = thread AND status IN ({listed(UNSETTLED)})
            ORDER BY status = 'pending', number LIMIT 1
        ) AS head WHERE status = 'pending' AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs AS job
            WHERE job.lock = run_id AND job.status IN ('todo', 'doing')
        ) ON CONFLICT DO NOTHING;
        more := FOUND OR EXISTS (
            SELECT 1 FROM procrastinate_jobs AS job WHERE job.lock = run AND job.status = 'todo'
        );
    END $$
"""  # noqa: S608 - constants only
