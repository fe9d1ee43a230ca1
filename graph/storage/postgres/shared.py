"""What processes that share a database do otherwise than one that has it alone.

What all of them keep to are circuits of models, posts of owners, to-dos of owners. Times are the
database's, so that no clocks are compared. What is in tables that are not logged is gone when the
database dies, and is found out, or counted, anew.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import psycopg
from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp

from graph.state.row import NO_QUOTA, Accepted, Quota, RunRow
from graph.storage.fleet import OpenCircuit, PostRefused, Taken, Tell
from graph.storage.postgres.connection import PostgresReader
from graph.storage.postgres.jobs import OUTDATED, ordering, queueing
from graph.storage.postgres.search import PostgresIndex
from graph.storage.postgres.store import PostgresStore, text_of
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.sql.changes import SqlOutbox
from graph.storage.sql.statements import Statement
from tools.receipts import MOST_KEPT, RECEIPTS, Full, Outdated

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


def adding(prefix: str, most: int) -> Statement:
    """What fails where as many are in a namespace as may be; its version was noted before."""
    return "SELECT note_added(?, ?)", (prefix, most)


class SharedIndex(PostgresIndex):
    """The run index of many processes: what is accepted or ordered of a run brings its job along.

    Whether a run was forked is asked each time, since others may have done so. The starts of a run
    are the processes that died of it, maybe, where it is.
    """

    first_start = 0

    def __init__(
        self, reader: PostgresReader, writer: PostgresWriter, searcher: PostgresReader, tell: Tell
    ) -> None:
        super().__init__(reader, writer, searcher)
        self._tell, self._postgres = tell, writer

    async def _write_accepted(
        self, row: RunRow, quota: Quota, statements: Sequence[Statement]
    ) -> Accepted | None:
        counted = [counting(row.owner, quota.posts)] if quota.posts else []
        written = await self._postgres.write_each(*counted, *statements, durable=True)
        if counted and written[0].row:
            granted, posted = written[0].row
            if not granted:
                raise PostRefused(posted)
        if (stored := written[-1].row) is None:
            return None
        self._tell(row.run_id, "queued")
        return Accepted(*stored)

    async def forks(self, run_id: str) -> Sequence[str]:
        self._origins.add(run_id)
        try:
            return await super().forks(run_id)
        finally:
            self._origins.discard(run_id)

    async def _order(self, run_id: str, *statements: Statement) -> bool:
        ordered = await super()._order(run_id, ordering(run_id), *statements)
        if ordered:
            self._tell(run_id, "queued")
        return ordered

    def _room_for(self, row: RunRow, quota: Quota) -> tuple[str, tuple[Any, ...]]:
        room, bounds = super()._room_for(row, quota)
        return (room + GRANTED, (*bounds, row.owner)) if quota.posts else (room, bounds)

    def _before_condition(self, row: RunRow, quota: Quota = NO_QUOTA) -> Sequence[Statement]:
        return super()._before_condition(row, replace(quota, posts=0))

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        row = replace(row, starts=self.first_start)
        return [*super()._inserting(row, condition, bounds), queueing(row)]


#: How long a process has for what it took from the outbox before another one takes it, in seconds.
POSTING = 60.0

_CLAIM = "UPDATE outbox SET due = ? WHERE number = ? AND due <= ? AND NOT given_up"


class SharedOutbox(SqlOutbox):
    """The outbox of many processes: what one has taken the others leave alone for a while."""

    async def open(self) -> None:
        """Any of them may have tried something without success."""

    async def take(self, number: int, now: float) -> bool:
        return await self._writer.write((_CLAIM, (now + POSTING, number, now))) > 0


#: At which version what the effect of this context reads was before; its receipt is read first.
_seen: ContextVar[dict[str, int] | None] = ContextVar("seen", default=None)


class SharedStore(PostgresStore):
    """The store of many processes, in which no effect builds on what another one has changed since.

    An effect is what `tools.receipts.once` does: it reads its receipt, then what it needs, and puts
    what it changes together with the receipt. Of two that change one namespace the second to write
    is refused if it has read before the first one wrote.
    """

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `PostgresStore.abatch`. Raises `Outdated` and `Full` too."""
        try:
            return await super().abatch(ops)
        except psycopg.DatabaseError as error:
            if error.sqlstate == OUTDATED:
                raise Outdated from None
            if error.sqlstate == FULL:
                raise Full from None
            raise

    async def _read(self, op: Op) -> Result:
        match op:
            case GetOp() if op.namespace[0] == RECEIPTS:
                _seen.set({})
            case GetOp():
                await self._note(text_of(op.namespace))
            case SearchOp() if op.namespace_prefix:
                await self._note(text_of(op.namespace_prefix))
        return await super()._read(op)

    async def _note(self, prefix: str) -> None:
        seen = _seen.get()
        if seen is not None and prefix not in seen:
            rows = await self._reader.execute_fetchall(_VERSION, (prefix,))
            seen[prefix] = next((version for (version,) in rows), 0)

    def _written(self, puts: Sequence[PutOp]) -> Sequence[Statement]:
        written = super()._written(puts)
        changed = {text_of(one.namespace) for one in puts if one.namespace[0] != RECEIPTS}
        if not any(one.namespace[0] == RECEIPTS for one in puts):
            return written
        seen = _seen.get() or {}
        noted = [(_NOTE_WRITTEN, (one, seen.get(one))) for one in sorted(changed)]
        counted = [adding(one, most) for one in sorted(changed) if (most := MOST_KEPT.get())]
        return [*noted, *counted, *written]


_VERSION = "SELECT version FROM store_versions WHERE prefix = ?"

_NOTE_WRITTEN = "SELECT note_written(?, ?)"
