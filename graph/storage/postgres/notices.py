"""What processes tell each other by NOTIFY, and what all of them keep to.

News are ids of runs only, and in transactions of their own: one with a NOTIFY holds a lock
of the whole database until it is committed, so that none that writes a run has one, and none waits
for the disk. Nothing is kept for who is away: after a cut all may have been missed.

All keep to circuits of models and posts of owners. Times are the database's, so that no clocks are
compared. What is in tables that are not logged is gone when the database dies, and is found out, or
counted, anew.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import psycopg

from graph.storage.fleet import Hear, News, OpenCircuit, Taken
from graph.storage.postgres.connection import (
    Connect,
    Connection,
    PostgresReader,
    answered,
    execute,
)
from graph.storage.postgres.jobs import QUEUED
from graph.storage.postgres.ownership import APPLICATION, BEAT, FOLLOWERS, OWNER, end_process
from graph.storage.sql.statements import Statement

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


# What is counted together.


#: How Postgres names what `note_added` raises: of a class that is none of its own.
FULL = "RUNFL"

#: `room` is how many may be added to a namespace before they are counted again, of `most`; others
#: that remove some only make it too small.
LIMIT_TABLES = f"""
    CREATE UNLOGGED TABLE circuits (
        model text COLLATE "C" PRIMARY KEY,
        held boolean NOT NULL,
        until double precision NOT NULL,
        error_class text
    );
    CREATE UNLOGGED TABLE posts (
        owner text COLLATE "C" PRIMARY KEY,
        posted double precision NOT NULL,
        at double precision NOT NULL,
        granted integer NOT NULL
    );
    ALTER TABLE store_versions ADD COLUMN room bigint;
    ALTER TABLE store_versions ADD COLUMN most bigint;
    CREATE FUNCTION note_added(place text, limited bigint) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE kept bigint; BEGIN
        UPDATE store_versions SET room = room - 1
        WHERE prefix = place AND most = limited AND room > 0;
        IF NOT FOUND THEN
            SELECT count(*) INTO kept FROM store WHERE prefix = place;
            IF kept >= limited THEN
                RAISE EXCEPTION 'as many are kept as may be' USING ERRCODE = '{FULL}';
            END IF;
            UPDATE store_versions SET room = limited - kept - 1, most = limited
            WHERE prefix = place;
        END IF;
    END $$
"""  # noqa: S608 - constants only

#: The database's time, in epoch seconds.
NOW = "extract(epoch FROM clock_timestamp())::double precision"

_READ = """
    SELECT model, held, until - {now}, error_class FROM circuits WHERE NOT held OR until > {now}
"""

#: What calls have found out is more than a wait that a provider has asked for.
_OPEN = """
    INSERT INTO circuits AS one (model, held, until, error_class) VALUES (?, ?, {now} + ?, ?)
    ON CONFLICT (model) DO UPDATE SET held = one.held AND excluded.held,
        until = greatest(one.until, excluded.until), error_class = excluded.error_class
    RETURNING model
"""

_CLOSE = "DELETE FROM circuits WHERE model = ? RETURNING model"

_TRY = """
    UPDATE circuits SET until = {now} + ? WHERE model = ? AND NOT held AND until <= {now}
    RETURNING model
"""


class PostgresCircuits:
    """Each call is a transaction of its own, on connections that nothing else holds up.

    `now` is what in SQL tells the epoch in seconds.
    """

    def __init__(self, connections: PostgresReader, now: str = NOW) -> None:
        self._connections = connections
        self._now = now

    async def read(self) -> Sequence[OpenCircuit]:
        return [OpenCircuit(*row) for row in await self._rows(_READ)]

    async def open(self, circuit: OpenCircuit) -> None:
        seconds, error_class = circuit.seconds, circuit.error_class
        await self._rows(_OPEN, circuit.model, circuit.held, seconds, error_class)

    async def close(self, model: str) -> None:
        await self._rows(_CLOSE, model)

    async def take_trial(self, model: str, pause: float) -> bool:
        return bool(await self._rows(_TRY, pause, model))

    async def _rows(self, sql: str, *values: Any) -> Sequence[Any]:
        return await self._connections.execute_fetchall(sql.format(now=self._now), values)


#: Those that have not come back of a row, at a time, where so many are allowed in a minute.
_LEFT = "greatest(0, one.posted - greatest(0, {at} - one.at) * ? / 60)"

_AT = _LEFT.format(at="excluded.at")

#: As many of those that are asked for as there is room for.
_TAKE = f"""
    INSERT INTO posts AS one (owner, posted, at, granted)
    SELECT ?, least(asked, most), {{now}}, least(asked, most)
    FROM (VALUES (?, ?)) AS given (asked, most)
    ON CONFLICT (owner) DO UPDATE SET
        posted = {_AT} + least(?, floor(greatest(0, ? - {_AT}))),
        granted = least(?, floor(greatest(0, ? - {_AT}))),
        at = greatest(one.at, excluded.at)
    RETURNING granted, posted
"""  # noqa: S608 - constants only

_POSTED = f"SELECT {_LEFT.format(at='{now}')} FROM posts AS one WHERE owner = ?"  # noqa: S608 - constants only


#: In a transaction that counts one post: whether it was counted.
GRANTED = " AND (SELECT granted FROM posts WHERE owner = ?) > 0"


def counting(owner: str, limit: int, now: str = NOW) -> Statement:
    """What counts one post, if there is room for it; it returns as `_TAKE` does."""
    values = (owner, 1, limit, limit, 1, limit, limit, 1, limit, limit)
    return _TAKE.format(now=now), values


class PostgresPosts:
    """Of each owner's posts here those are counted together that came while others were.

    `now` is what in SQL tells the epoch in seconds.
    """

    def __init__(self, connections: PostgresReader, now: str = NOW) -> None:
        self._connections = connections
        self._take, self._find = _TAKE.format(now=now), _POSTED.format(now=now)
        #: Of owners whose posts are being counted: those that came since.
        self._asking: dict[str, list[asyncio.Future[Taken]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, owner: str, limit: int) -> Taken:
        asked: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        if owner in self._asking:
            self._asking[owner].append(asked)
        else:
            self._asking[owner] = [asked]
            task = asyncio.create_task(self._count(owner, limit))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asked

    async def posted(self, owner: str, limit: int) -> float:
        rows = await self._connections.execute_fetchall(self._find, (limit, owner))
        return next((float(posted) for (posted,) in rows), 0.0)

    async def _count(self, owner: str, limit: int) -> None:
        while asked := self._asking[owner]:
            self._asking[owner] = []
            count = len(asked)
            values = (owner, count, limit, limit, count, limit, limit, count, limit, limit)
            try:
                [(granted, posted)] = await self._connections.execute_fetchall(self._take, values)
            except Exception as error:  # told to all who wait for it
                _tell(asked, error)
            else:
                _tell(asked, *(Taken(place < granted, posted) for place in range(count)))
        del self._asking[owner]


def _tell(asked: Sequence[asyncio.Future[Taken]], *outcomes: Taken | Exception) -> None:
    for place, one in enumerate(asked):
        outcome = outcomes[min(place, len(outcomes) - 1)]
        if one.done():  # its caller was cancelled
            continue
        if isinstance(outcome, Exception):
            one.set_exception(outcome)
        else:
            one.set_result(outcome)
