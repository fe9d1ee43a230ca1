"""News between processes by NOTIFY: ids of runs only, and in transactions of their own.

A transaction with a NOTIFY holds a lock of the whole database until it is committed, so that none
that writes a run has one, and none waits for the disk. Nothing is kept for who is away: after a cut
all may have been missed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

import psycopg

from graph.storage.fleet import Hear, News
from graph.storage.postgres.connection import (
    Connect,
    Connection,
    PostgresReader,
    answered,
    execute,
)
from graph.storage.postgres.jobs import QUEUED
from graph.storage.postgres.ownership import APPLICATION, BEAT, FOLLOWERS, OWNER, end_process

logger = logging.getLogger("runwright.storage")

#: How long changes are gathered before they are told together, in seconds; a job is told at once.
GATHERED = 0.01

#: The wait before a lost connection is made again, in seconds.
AGAIN = 0.5

#: After so many seconds what has not come back is lost.
LATE = 1.0

#: Who has given no sign of life for so many seconds is told of no job: it may be dead.
SILENT = 2.5

#: Most of what is told, six times for a run: told while somebody watches, and heard only there.
CHANGED = "runwright_changed"

_CHANNELS: Mapping[str, News] = {"runwright_ordered": "ordered", QUEUED: "queued"}

_TELL = """
    SELECT count(pg_notify('runwright_' || news, run_id)),
        set_config('synchronous_commit', 'off', true)
    FROM unnest(?::text[], ?::text[]) AS told (news, run_id)
"""

#: Of jobs each is told to one worker that lives, the one that does least before: all hear of those
#: that nobody is told of.
_TELL_OF_JOBS = f"""
    SELECT count(pg_notify('{QUEUED}' || coalesce(
            '_' || ids[1 + (place - 1) % cardinality(ids)], ''), run_id)),
        set_config('synchronous_commit', 'off', true)
    FROM unnest(?::text[]) WITH ORDINALITY AS told (run_id, place), (
        SELECT array_agg(id ORDER BY (SELECT count(*) FROM procrastinate_jobs
            WHERE worker_id = worker.id AND status = 'doing'), random())
        FROM procrastinate_workers AS worker
        WHERE last_heartbeat > now() - interval '{SILENT} s'
    ) AS workers (ids)
"""  # noqa: S608 - constants only

#: What has changed is told for as long as a process has this lock.
_FOLLOW = "SELECT pg_advisory_lock_shared(?, ?)"

#: Of a process that has the database alone, others keep out, and it of theirs.
_SHARE = "SELECT pg_try_advisory_lock_shared(?, ?)"


async def _shares(connection: Connection) -> bool:
    cursor = await answered(execute(connection, _SHARE, (APPLICATION, OWNER)))
    [shares] = await cursor.fetchone()
    return bool(shares)


class PostgresNotices:
    """Tells on connections that are used for more, and hears on one of its own.

    `end` is called where another process has got the database alone while that one was lost.
    """

    def __init__(
        self, connect: Connect, connections: PostgresReader, end: Callable[[], None] = end_process
    ) -> None:
        self._connect = connect
        self._end = end
        self._connections = connections
        self._news: dict[tuple[News, str], None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self.followed = False
        #: What is to be heard on which channel, and on which this connection hears.
        self._wanted = dict(_CHANNELS)
        self._listening: set[str] = set()
        self._unheard: float | None = None  # since when something told has not come back, s

    @property
    def deaf(self) -> bool:
        """Whether the connection is lost, or what was told a while ago has not come back."""
        if self._connection is None or self._connection.closed:
            return True
        return self._unheard is not None and time.monotonic() - self._unheard > LATE

    async def share(self) -> bool:
        """Connect, and keep out who wants the database alone; whether nobody has it alone."""
        connection = await self._connect()
        try:
            shares = await _shares(connection)
            self._listening.clear()
            await self._listen_to_all(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return shares

    async def aclose(self) -> None:
        """Tell what is left, and close the connection."""
        try:
            while self._telling:
                await asyncio.wait([self._telling])
        finally:
            if self._connection:
                await self._connection.close()

    def tell(self, run_id: str, news: News = "changed") -> None:
        if news == "changed" and not (self.followed or CHANGED in self._wanted):
            return
        self._news[news, run_id] = None
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    def follow(self) -> None:
        self._hear_on(CHANGED, "changed")

    def work_as(self, worker: int) -> None:
        self._hear_on(f"{QUEUED}_{worker}", "queued")

    def _hear_on(self, channel: str, news: News) -> None:
        if channel not in self._wanted:
            self._wanted[channel] = news
            self.tell("", "ordered")  # the connection waits for news, and is free after some

    async def _tell(self) -> None:
        try:
            while self._news:
                urgent = any(news != "changed" for news, _ in self._news)
                await asyncio.sleep(0 if urgent else GATHERED)
                sent, self._news = [*self._news], {}
                jobs = [run_id for news, run_id in sent if news == "queued" and run_id]
                rest = [one for one in sent if one[0] != "queued" or not one[1]]
                with suppress(psycopg.Error):  # all look every second
                    if rest and (urgent or CHANGED in self._listening):  # it may be heard at once
                        self._unheard = self._unheard or time.monotonic()
                    if rest:
                        values = [news for news, _ in rest], [run_id for _, run_id in rest]
                        await self._connections.execute_fetchall(_TELL, values)
                    if jobs:
                        await self._connections.execute_fetchall(_TELL_OF_JOBS, (jobs,))
        finally:
            self._telling = None

    @asynccontextmanager
    async def hearing(self, hear: Hear) -> AsyncIterator[None]:
        task = asyncio.create_task(self._listen(hear))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _listen(self, hear: Hear) -> None:
        while True:
            with suppress(psycopg.Error, OSError):
                if self._connection is None or self._connection.closed:
                    shares = await self.share()
                    assert self._connection is not None
                    if not shares:
                        await asyncio.sleep(AGAIN)  # a command may have it for a moment
                        shares = await _shares(self._connection)
                    if not shares:
                        logger.error("another process has the database alone; this one ends")
                        self._end()
                        return
                    hear("missed", "")
                while True:
                    await self._hear_some(self._connection, hear)
                    if self._wanted.keys() == self._listening:
                        await answered(execute(self._connection, "SELECT 1"))
                        continue
                    await self._listen_to_all(self._connection)
                    self.tell("", "ordered")
                    hear("missed", "")  # what has changed before, and what came with the last news
            if self._connection:
                await self._connection.close()
            await asyncio.sleep(AGAIN)

    async def _hear_some(self, connection: Connection, hear: Hear) -> None:
        """Hear for `BEAT` seconds, or until more is to be heard."""
        async with aclosing(connection.notifies(timeout=BEAT)) as notices:
            async for notice in notices:
                self._unheard = None
                if news := self._wanted.get(notice.channel):
                    hear(news, notice.payload)
                if not notice.payload:  # maybe of one that has begun to follow
                    self.followed = True
                if self._wanted.keys() != self._listening:
                    return

    async def _listen_to_all(self, connection: Connection) -> None:
        for channel in [one for one in self._wanted if one not in self._listening]:
            await answered(connection.execute(f'LISTEN "{channel}"'.encode()))
            self._listening.add(channel)
            if channel == CHANGED:
                await answered(execute(connection, _FOLLOW, (APPLICATION, FOLLOWERS)))
