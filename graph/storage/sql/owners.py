"""What owners have beside runs: threads, and what they have spent.

Threads are read off the rows of their runs, but for names and metadata. Of what is spent there is
one row for an owner and a day, and a mark in the run.
"""

import json
from collections.abc import Sequence
from typing import Any

from graph.state import Status
from graph.state.row import RunRow
from graph.state.status import SETTLED, UNSETTLED
from graph.storage.records import (
    MOST_OPENED,
    Earlier,
    Head,
    LastRun,
    NameTaken,
    OpenedThread,
    Thread,
    ThreadChange,
)
from graph.storage.sql.statements import NUMBERS, Fetch, Reader, Statement, Writer, listed
from graph.storage.storage import Spent
from nodes.planning.model import Call, Cost


class SqlThreads:
    """Lists are read as searches are, by `fetch`; everything else as one run is.

    `taken` is what the backend raises where something is to be there once and is already.
    """

    def __init__(
        self, reader: Reader, writer: Writer, fetch: Fetch, taken: type[Exception]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._fetch = fetch
        self._taken = taken

    async def owned(self, thread_id: str, owner: str | None) -> bool:
        return bool(await self._rows(THREAD_OWNED, thread_id, owner))

    async def open(self, thread: OpenedThread, owner: str) -> bool:
        values = (thread.thread_id, owner, json.dumps(dict(thread.metadata)), thread.created_at)
        stale = (_FORGET, (owner, owner, MOST_OPENED - 1))
        return await self._writer.write(stale, (_OPEN, (*values, thread.thread_id))) > 0

    async def opened(self, owner: str, thread_id: str | None = None) -> Sequence[OpenedThread]:
        rows = await self._rows(_OPENED, owner, thread_id, MOST_OPENED)
        return [OpenedThread(found, json.loads(kept or "{}"), at) for found, kept, at in rows]

    async def close(self, thread_id: str, owner: str | None) -> bool:
        return await self._writer.write((_CLOSE, (thread_id, owner)), durable=True) > 0

    async def named(self, owner: str, name: str) -> str | None:
        return next((found for (found,) in await self._rows(_NAMED, owner, name)), None)

    async def of_run(self, run_id: str) -> str | None:
        return next((found for (found,) in await self._rows(_OF_RUN, run_id)), None)

    async def head(self, thread_id: str) -> Head | None:
        return next((Head(*found) for found in await self._rows(_HEAD, thread_id)), None)

    async def earlier(self, run_id: str, *, limit: int) -> tuple[Sequence[Earlier], int]:
        found = [Earlier(*row) for row in await self._rows(_EARLIER, run_id, limit)]
        if len(found) < limit:
            return found, len(found)
        [(count,)] = await self._rows(_COUNT_EARLIER, run_id)
        return found, int(count)

    async def find(self, thread_id: str, owner: str | None) -> Thread | None:
        rows = await self._rows(f"{_THREADS} {_ONE}", thread_id, owner)
        return next((_thread(row) for row in rows), None)

    async def page(
        self, owner: str, *, limit: int, before: int | None, name: str | None
    ) -> tuple[Sequence[Thread], int | None]:
        known = await self._fetch(owner, _ORDINAL, (owner,))
        base = known[0][0] * NUMBERS if known else 0
        thread_id = None if name is None else await self.named(owner, name)
        if not known or (name is not None and thread_id is None):
            return [], None
        below = base + (NUMBERS if before is None else min(before, NUMBERS))
        last, values = (_LAST, []) if thread_id is None else (_LAST_OF, [thread_id])
        rows = await self._fetch(
            owner, f"{_THREADS} {last}", (owner, base, below, *values, limit + 1)
        )
        more = rows[limit - 1][-1] - base if len(rows) > limit else None
        return [_thread(row) for row in rows[:limit]], more

    async def change(self, thread_id: str, owner: str | None, change: ThreadChange) -> bool:
        metadata = None if change.metadata is None else json.dumps(dict(change.metadata))
        values = (change.renamed, change.name, metadata, thread_id)
        try:
            # It gets a row where it had none, unless it has gone meanwhile.
            return (
                await self._writer.write(
                    (_KEEP, (thread_id, owner)), (_CHANGE, (*values, owner)), durable=True
                )
                > 0
            )
        except self._taken:
            raise NameTaken(change.name or "") from None

    async def members(self, thread_id: str, owner: str | None) -> Sequence[tuple[str, Status]]:
        return [*await self._rows(_MEMBERS, thread_id, owner)]

    async def checkpoints(
        self, thread_id: str, *, limit: int, before: str | None = None, at: str | None = None
    ) -> Sequence[tuple[str, str]]:
        return [*await self._rows(_CHECKPOINTS, thread_id, before, at, limit)]

    async def _rows(self, sql: str, *values: Any) -> list[Any]:
        return [*await self._reader.execute_fetchall(sql, values)]


def naming(row: RunRow, condition: str, bounds: Sequence[Any]) -> Statement:
    """What gives the thread that a run names its name, where the run's own condition holds.

    It comes before the run, which then finds its thread by that name.
    """
    values = (row.thread, row.owner, row.thread_name, row.created_at, *bounds)
    named = f"INSERT INTO threads SELECT ?, ?, ?, NULL, ? WHERE {condition} ON CONFLICT DO NOTHING"
    return named, values


def by_name(row: RunRow) -> Statement:
    """How a run that names its thread finds the id of it: a value of what inserts the run."""
    return f"({_NAMED})", (row.owner, row.thread_name)


_IS_OWNED = """
    EXISTS (SELECT 1 FROM runs WHERE thread_id = given.id AND owner = coalesce(given.owner, owner))
    OR EXISTS (
        SELECT 1 FROM threads WHERE thread_id = given.id AND owner = coalesce(given.owner, owner)
    )
"""

#: Holds while the thread that a run continues has another run of its owner, or was opened.
THREAD_IS_KEPT = f" AND (SELECT {_IS_OWNED} FROM (SELECT ? AS id, ? AS owner) AS given)"  # noqa: S608 - constants only

#: Holds while no run of a thread is to begin, or has begun and not ended.
THREAD_HAS_ENDED = f"""
    AND NOT EXISTS (SELECT 1 FROM runs WHERE thread_id = ? AND status IN ({listed(UNSETTLED)}))
"""  # noqa: S608 - constants only

THREAD_OWNED = f"SELECT 1 FROM (SELECT ? AS id, ? AS owner) AS given WHERE {_IS_OWNED}"  # noqa: S608 - constants only

_NO_RUN = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.thread_id = threads.thread_id)"

_OPENED = f"""
    SELECT thread_id, metadata, created_at FROM threads
    WHERE owner = ? AND thread_id = coalesce(?, thread_id) AND {_NO_RUN}
    ORDER BY created_at DESC LIMIT ?
"""  # noqa: S608 - constants only

_OPEN = """
    INSERT INTO threads
    SELECT ?, ?, NULL, ?, ? WHERE NOT EXISTS (SELECT 1 FROM runs WHERE thread_id = ?)
    ON CONFLICT DO NOTHING
"""

_FORGET = f"""
    DELETE FROM threads WHERE owner = ? AND {_NO_RUN} AND thread_id IN (
        SELECT thread_id FROM threads WHERE owner = ? AND {_NO_RUN}
        ORDER BY created_at DESC LIMIT 1000000 OFFSET ?
    )
"""  # noqa: S608 - constants only

_CLOSE = f"""
    DELETE FROM threads WHERE thread_id = ? AND owner = coalesce(?, owner) AND {_NO_RUN}
"""  # noqa: S608 - constants only

_NAMED = "SELECT thread_id FROM threads WHERE owner = ? AND name = ?"

_OF_RUN = "SELECT thread_id FROM runs WHERE run_id = ?"

_HEAD = f"""
    SELECT run_id, status FROM runs INDEXED BY runs_unsettled
    WHERE thread_id = ? AND status IN ({listed(UNSETTLED)})
    ORDER BY status = 'pending', number LIMIT 1
"""  # noqa: S608 - constants only

_BEFORE = f"""
    FROM runs AS own JOIN runs AS other
    ON other.thread_id = own.thread_id AND other.number < own.number
    WHERE own.run_id = ? AND other.status IN ({listed(SETTLED)})
"""

_EARLIER = f"SELECT other.run_id, other.completed_at {_BEFORE} ORDER BY other.number DESC LIMIT ?"

_COUNT_EARLIER = f"SELECT count(*) {_BEFORE}"

_ORDINAL = "SELECT ordinal FROM owners WHERE owner = ?"

#: A thread is found by the last of its runs.
_THREADS = """
    SELECT last.thread_id, last.owner, name, threads.metadata,
        (SELECT count(*) FROM runs WHERE thread_id = last.thread_id),
        coalesce(threads.created_at, (
            SELECT created_at FROM runs WHERE thread_id = last.thread_id ORDER BY number LIMIT 1
        )),
        run_id, prompt, status, last.created_at, number
    FROM runs AS last LEFT JOIN threads ON threads.thread_id = last.thread_id
"""

_ONE = """
    WHERE last.thread_id = ? AND last.owner = coalesce(?, last.owner)
    ORDER BY number DESC LIMIT 1
"""

_LAST = """
    WHERE last.owner = ? AND number > ? AND number < ? AND NOT EXISTS (
        SELECT 1 FROM runs AS later
        WHERE later.thread_id = last.thread_id AND later.number > last.number
    )
    ORDER BY number DESC LIMIT ?
"""

_LAST_OF = _LAST.replace("AND NOT EXISTS", "AND last.thread_id = ? AND NOT EXISTS")

_KEEP = """
    INSERT INTO threads SELECT thread_id, owner, NULL, NULL, created_at FROM runs
    WHERE thread_id = ? AND owner = coalesce(?, owner) ORDER BY number LIMIT 1
    ON CONFLICT DO NOTHING
"""

_CHANGE = """
    UPDATE threads SET name = CASE WHEN ? THEN ? ELSE name END, metadata = coalesce(?, metadata)
    WHERE thread_id = ? AND owner = coalesce(?, owner)
"""

_MEMBERS = """
    SELECT run_id, status FROM runs
    WHERE thread_id = ? AND owner = coalesce(?, owner) ORDER BY number
"""


#: No id is as great as a tilde.
_CHECKPOINTS = """
    SELECT run_id, checkpoints.checkpoint_id FROM runs
    JOIN checkpoints ON checkpoints.thread_id = run_id AND checkpoint_ns = ''
    WHERE runs.thread_id = ? AND checkpoints.checkpoint_id < coalesce(?, '~')
    AND checkpoints.checkpoint_id = coalesce(?, checkpoints.checkpoint_id)
    ORDER BY checkpoints.checkpoint_id DESC LIMIT ?
"""


def _thread(row: Sequence[Any]) -> Thread:
    thread_id, owner, name, metadata, runs, created_at, *last, _ = row
    return Thread(
        thread_id=thread_id,
        owner=owner,
        name=name,
        metadata=json.loads(metadata) if metadata else {},
        runs=runs,
        created_at=created_at,
        last_run=LastRun(run_id=last[0], prompt=last[1], status=last[2], created_at=last[3]),
    )


#: Keeps the row of a day to this transaction, so that nobody else sets aside between the look at
#: what is left, which the statement after it takes, and the taking of it.
# What they have spent.


_LOCK = (
    "INSERT INTO spending (day, owner, usd, tokens, calls) VALUES (?, ?, 0, 0, 0)"
    " ON CONFLICT (day, owner) DO UPDATE SET calls = spending.calls"
)

#: Changes a row where the call fits; beside a price that is not known none does.
_HOLD = """
    INSERT INTO spending_held (run, call, day, owner, usd, tokens)
    SELECT ?, ?, ?, ?, ?, ? FROM spending AS spent,
        (SELECT coalesce(sum(usd), 0) AS usd, coalesce(sum(tokens), 0) AS tokens
            FROM spending_held WHERE day = ? AND owner = ?) AS held
    WHERE spent.day = ? AND spent.owner = ?
        AND (? IS NULL OR ? <= ? - spent.usd - held.usd)
        AND (? IS NULL OR ? <= ? - spent.tokens - held.tokens)
    ON CONFLICT (run, call) DO UPDATE SET day = excluded.day, owner = excluded.owner,
        usd = excluded.usd, tokens = excluded.tokens
"""

_RELEASE = "DELETE FROM spending_held WHERE run = ? AND call = ?"

_LEFT = "SELECT run, call, day, owner, usd, tokens FROM spending_held WHERE run = coalesce(?, run)"

_FIND_SPENT = "SELECT usd, tokens, calls FROM spending WHERE day = ? AND owner = ?"

_HELD = (
    "SELECT sum(usd), CAST(coalesce(sum(tokens), 0) AS BIGINT), count(*) FROM spending_held"
    " WHERE day = ? AND owner = ?"
)

_FORGET_HELD = "DELETE FROM spending WHERE day < ?"

#: Adds what was not marked before, and what belongs to no run.
_ADD = (
    "INSERT INTO spending (day, owner, usd, tokens, calls) SELECT ?, ?, ?, ?, 1"
    " WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ? AND counted = ?)"
    " ON CONFLICT (day, owner) DO UPDATE SET usd = spending.usd + excluded.usd,"
    " tokens = spending.tokens + excluded.tokens, calls = spending.calls + excluded.calls"
)

#: Right after that, so that it changes a row where the call of a run was added.
_MARK = "UPDATE runs SET counted = ? WHERE run_id = ? AND coalesce(counted, '') <> ?"

_IS_KEPT = "SELECT 1 FROM runs WHERE run_id = ?"


class SqlSpending:
    """Writes through the process's one writer; days of more than a year ago are forgotten."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def of(self, owner: str, day: str) -> Spent:
        rows = await self._reader.execute_fetchall(_FIND_SPENT, (day, owner))
        return next((Spent(*row) for row in rows), Spent())

    async def held(self, owner: str, day: str) -> Spent:
        [row] = await self._reader.execute_fetchall(_HELD, (day, owner))
        return Spent(*row)

    async def count_left(self, of_run: str | None = None) -> None:
        # A run makes its call again, which is another one to the provider.
        for run_id, key, day, owner, usd, tokens in await self._reader.execute_fetchall(
            _LEFT, (of_run,)
        ):
            await self._writer.write(
                (_RELEASE, (run_id, key)),
                _added(day, owner, Cost(usd=usd, tokens=tokens)),
                durable=True,
            )

    async def hold(
        self, call: Call, day: str, cost: Cost, *, usd: float | None, tokens: int | None
    ) -> bool:
        account = day, call.owner
        fits = (usd, cost.usd, usd, tokens, cost.tokens, tokens)
        held = (call.run_id, call.key, *account, cost.usd, cost.tokens, *account, *account, *fits)
        return await self._writer.write((_LOCK, account), (_HOLD, held), durable=True) > 0

    async def release(self, call: Call) -> None:
        await self._writer.write((_RELEASE, (call.run_id, call.key)))

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        marked = await self._writer.write(
            (_FORGET_HELD, (f"{int(day[:4]) - 1:04}{day[4:]}",)),
            (_RELEASE, (call.run_id, call.key)),
            _added(day, call.owner, cost, call.run_id, call.key),
            (_MARK, (call.key, call.run_id, call.key)),
            durable=True,
        )
        if marked:
            return True
        # Of what belongs to no run, as a preview, nothing is marked and each call is added.
        return not [*await self._reader.execute_fetchall(_IS_KEPT, (call.run_id,))]


def _added(
    day: str, owner: str, cost: Cost, run_id: str | None = None, key: str | None = None
) -> Statement:
    return _ADD, (day, owner, cost.usd, cost.tokens, run_id, key)
