"""The run index: one table in the database that holds the checkpoints."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from graph.state import Learned, RunState, Status
from graph.state.rounds import expiry_of
from graph.state.row import (
    KEPT,
    NO_QUOTA,
    Accepted,
    ApprovalAnswer,
    DoubtAnswer,
    IdempotencyKey,
    Kept,
    KeyedRun,
    Quota,
    RetryCommand,
    RunRow,
)
from graph.state.run import NO_FACTS, Facts, facts_of
from graph.state.status import SETTLED, SETTLED_OR_WAITING, UNSETTLED, leads_to
from graph.storage.search import Found, Search
from graph.storage.sql import bookkeeping
from graph.storage.sql.owners import THREAD_HAS_ENDED, THREAD_OWNED, by_name, naming
from graph.storage.sql.statements import Reader, Statement, Writer, listed
from graph.storage.storage import Unsettled


class SqlIndex(ABC):
    """Writes through the process's one writer, what was accepted or settled durably."""

    #: What a run has for its number of starts before it has begun.
    first_start = 1

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        # Few runs are forked and every record asks; nobody else writes while this is open.
        self._origins: set[str] = set()

    async def open(self) -> None:
        """Find out which runs were forked."""
        rows = await self._reader.execute_fetchall(_ORIGINS)
        self._origins = {origin for (origin,) in rows}

    async def accept(self, row: RunRow, quota: Quota = NO_QUOTA) -> Accepted | None:
        if row.forked_from is not None:
            self._origins.add(row.forked_from)
        room, bounds = self._room_for(row, quota)
        statements = (*self._before_condition(row, quota), *self._inserting(row, room, bounds))
        return await self._write_accepted(row, quota, statements)

    async def accept_once(
        self, row: RunRow, key: IdempotencyKey, quota: Quota = NO_QUOTA
    ) -> KeyedRun | None:
        while True:
            room = self._room_for(row, quota)
            taking = bookkeeping.taking(row, key, partial(self._inserting, row), room)
            statements = (*self._before_condition(row, quota), *taking)
            if accepted := await self._write_accepted(row, quota, statements):
                named = {"run_id": row.run_id, "fingerprint": key.fingerprint}
                return KeyedRun(**named, position=accepted.position)
            if first := await self.find_key(row.owner, key.name, at=row.created_at):
                return first
            thread = row.thread_id, row.owner
            owned = await self._reader.execute_fetchall(THREAD_OWNED, thread)
            gone = row.thread_id and not [*owned]
            if gone or row.alone or quota.is_reached(await self.kept(row.owner)):
                return None
            # The run that had the key was removed just now, and has left the key free.
            quota = replace(quota, posts=0)

    async def _write_accepted(
        self, row: RunRow, quota: Quota, statements: Sequence[Statement]
    ) -> Accepted | None:
        """Write what stores a run, the last of which does, or does not."""
        return Accepted() if await self._writer.write(*statements, durable=True) > 0 else None

    async def kept(self, owner: str) -> Kept:
        rows = await self._reader.execute_fetchall(bookkeeping.KEPT_OF, (owner,))
        return next((Kept(*row) for row in rows), Kept())

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        found = await self._reader.execute_fetchall(bookkeeping.FIND_KEY, (owner, name, at - KEPT))
        return next((KeyedRun(run_id=run_id, fingerprint=stored) for run_id, stored in found), None)

    async def find(self, run_id: str) -> RunRow | None:
        rows = await self._select("WHERE run_id = ?", run_id)
        return rows[0] if rows else None

    async def owned(self, run_id: str, owner: str | None) -> bool:
        return bool([*await self._reader.execute_fetchall(_OWNED, (run_id, owner))])

    async def forks(self, run_id: str) -> Sequence[str]:
        if run_id not in self._origins:
            return ()
        rows = await self._reader.execute_fetchall(_FORKS, (run_id,))
        return [forked for (forked,) in rows]

    @abstractmethod
    async def search(self, owner: str, search: Search) -> Found:
        """The runs of an owner that match, a page of them."""

    async def unsettled(self) -> Sequence[RunRow]:
        among = f"INDEXED BY runs_unsettled WHERE status IN ({listed(UNSETTLED)})"
        return await self._select(f"{among} ORDER BY rowid")

    async def count_unsettled(self) -> Unsettled:
        rows = await self._reader.execute_fetchall(_COUNT_UNSETTLED)
        pending = [first for status, _, first in rows if status == "pending"]
        return Unsettled({status: count for status, count, _ in rows}, *pending)

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        facts: Facts = NO_FACTS,
        generation: int | None = None,
    ) -> bool:
        times = started_at, completed_at
        statement = _projected(run_id, status, times, facts, generation)
        return await self._writer.write(statement, durable=status in SETTLED) > 0

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        sources = leads_to("cancelled")
        update = (
            "UPDATE runs SET cancel_at = coalesce(cancel_at, ?), cancel_by = coalesce(cancel_by, ?)"  # noqa: S608 - constants only
            f" WHERE run_id = ? AND status IN ({', '.join('?' * len(sources))})"
        )
        return await self._order(run_id, (update, (at, by, run_id, *sources)))

    async def decide(
        self, run_id: str, approval_answer: ApprovalAnswer, *, generation: int = 0
    ) -> bool:
        if (question := approval_answer.get("question")) is not None:
            return await self._answer(run_id, approval_answer, question, generation)
        values = (json.dumps(approval_answer), run_id)
        return await self._order(run_id, (_DECIDE, values))

    async def resolve(self, run_id: str, answer: DoubtAnswer, *, generation: int) -> bool:
        return await self._answer(run_id, answer, answer["question"], generation)

    async def _answer(
        self,
        run_id: str,
        answer: ApprovalAnswer | DoubtAnswer,
        question: int,
        generation: int,
    ) -> bool:
        """Store the first answer to a question that has a number; whether it is that."""
        asked = (question, question, run_id, generation, question)
        values = (json.dumps(answer), run_id, generation, question)
        # Who has read the question in the checkpoint may come before the row was told of it.
        return await self._order(run_id, (_ASK, asked), (_RESOLVE, values))

    async def note_learned(self, run_id: str, learned: Learned) -> None:
        await self._writer.write((_NOTE_LEARNED, (json.dumps(learned), run_id)), durable=True)

    async def forget_approval_answer(self, run_id: str) -> None:
        await self._writer.write((_FORGET_ANSWER, (run_id,)), durable=True)

    async def note_expiry(self, run_id: str, at: float, question: int | None = None) -> None:
        await self._writer.write(*_expiring(run_id, at, question), durable=True)

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        return [one for (one,) in await self._reader.execute_fetchall(_EXPIRED, (now, limit))]

    async def request_retry(
        self, run_id: str, command: RetryCommand, *, alone: RunRow | None = None
    ) -> bool:
        generation = command["generation"]
        retry: str = _RETRY
        values = [self.first_start, generation, json.dumps(command), run_id, generation - 1]
        if alone:
            retry, values = retry + THREAD_HAS_ENDED, [*values, alone.thread]
        first = self._before_condition(alone) if alone else ()
        return await self._order(run_id, *first, (retry, values))

    async def _order(self, run_id: str, *statements: Statement) -> bool:
        """Store what somebody has ordered of a run; whether the last statement did."""
        return await self._writer.write(*statements, durable=True) > 0

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        values = (starts, checkpoint_id, int(starts > 0), run_id)
        await self._writer.write((_NOTE_START, values), durable=True)

    async def settled_before(
        self, moment: float, *, after: RunRow | None, limit: int
    ) -> Sequence[RunRow]:
        return await self._select(
            f"WHERE status IN ({listed(SETTLED)}) AND completed_at < ?"
            " AND (completed_at, run_id) > (?, ?) ORDER BY completed_at, run_id LIMIT ?",
            moment,
            after.completed_at if after else 0.0,
            after.run_id if after else "",
            limit,
        )

    async def settled_last(self, seconds: float, *, limit: int) -> Sequence[RunRow]:
        settled = f"status IN ({listed(SETTLED)})"
        last = f"SELECT max(completed_at) FROM runs WHERE {settled}"  # noqa: S608 - constants only
        return await self._select(
            f"WHERE {settled} AND completed_at >= ({last}) - ?"
            " ORDER BY completed_at DESC, run_id LIMIT ?",
            *(seconds, limit),
        )

    def _room_for(self, row: RunRow, quota: Quota) -> tuple[str, tuple[Any, ...]]:
        """The condition under which a run is written, and its values."""
        return bookkeeping.room_for(row, quota)

    def _before_condition(self, row: RunRow, quota: Quota = NO_QUOTA) -> Sequence[Statement]:
        """What comes before a condition on other runs is looked at, so that it still holds then."""
        return ()

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        return inserting(row, condition, bounds)

    async def _select(self, rest: str, *parameters: Any) -> list[RunRow]:
        rows = await self._reader.execute_fetchall(
            f"SELECT {COLUMNS} FROM runs {rest}",  # noqa: S608 - `rest` is ours, values are bound
            parameters,
        )
        return [row_of(row) for row in rows]


# What is written and read of one run, as SQL.


def projecting(state: RunState) -> list[Statement]:
    """What makes the row of a run say what its state says; the last one changes it, or does not.

    Until when it may be decided about a run that waits comes first, so that none waits for ever.
    """
    run_id, expiry = state["run_id"], expiry_of(state)
    times = state["started_at"], state["completed_at"]
    return [
        *(_expiring(run_id, *expiry) if expiry else ()),
        _projected(run_id, state["status"], times, facts_of(state), state["generation"]),
    ]


def _projected(
    run_id: str,
    status: Status,
    times: tuple[float | None, float | None],
    facts: Facts,
    generation: int | None,
) -> Statement:
    sources = leads_to(status)
    counted = f", bytes = {bookkeeping.BYTES}" if status in SETTLED_OR_WAITING else ""
    update = (
        "UPDATE runs SET status = ?, started_at = ?, completed_at = ?, seed = NULL,"  # noqa: S608 - constants only
        " planner = ?, model = ?, tools = ?, usd = ?, retries = ?, taken_up = ?,"
        f" rounds = ?{counted}"
        " WHERE run_id = ? AND generation = coalesce(?, generation)"
        f" AND status IN ({', '.join('?' * len(sources)) or 'NULL'})"
    )
    return update, (status, *times, *facts_values(facts), run_id, generation, *sources)


def _expiring(run_id: str, at: float, question: int | None) -> list[Statement]:
    noted: Statement = _NOTE_EXPIRY, (at, run_id)
    asked: Statement = _ASK, (question, question, run_id, None, question)
    return [noted] if question is None else [noted, asked]


_COUNT_UNSETTLED = f"""
    SELECT status, count(*), min(created_at) FROM runs WHERE status IN ({listed(UNSETTLED)})
    GROUP BY status
"""  # noqa: S608 - constants only

_OWNED = "SELECT 1 FROM runs WHERE run_id = ? AND owner = coalesce(?, owner)"

_ORIGINS = "SELECT DISTINCT forked_from FROM runs WHERE forked_from IS NOT NULL"

_FORKS = "SELECT run_id FROM runs WHERE forked_from = ? ORDER BY number"

_DECIDE = f"""
    UPDATE runs SET decision = ?
    WHERE run_id = ? AND question IS NULL AND decision IS NULL AND cancel_at IS NULL
    AND status IN ({listed(UNSETTLED)})
"""  # noqa: S608 - constants only

# Of two questions the later one counts, also where an answer to the earlier comes late.
_ASK = """
    UPDATE runs SET decision = CASE WHEN question = ? THEN decision END, question = ?
    WHERE run_id = ? AND generation = coalesce(?, generation) AND coalesce(question, 0) <= ?
"""

_RESOLVE = f"""
    UPDATE runs SET decision = ?
    WHERE run_id = ? AND generation = ? AND question = ?
    AND decision IS NULL AND cancel_at IS NULL AND status IN ({listed(UNSETTLED)})
"""  # noqa: S608 - constants only

_NOTE_LEARNED = "UPDATE runs SET learned = ? WHERE run_id = ?"

_FORGET_ANSWER = "UPDATE runs SET decision = NULL WHERE run_id = ?"

_NOTE_EXPIRY = "UPDATE runs SET expires_at = ? WHERE run_id = ?"

_EXPIRED = """
    SELECT run_id FROM runs
    WHERE status = 'waiting' AND expires_at <= ? AND decision IS NULL AND cancel_at IS NULL
    ORDER BY expires_at LIMIT ?
"""

_RETRY = """
    UPDATE runs SET
        status = 'pending', started_at = NULL, completed_at = NULL, starts = ?,
        checkpoint_id = NULL, cancel_at = NULL, cancel_by = NULL, expires_at = NULL,
        decision = NULL, question = NULL, generation = ?, retry = ?
    WHERE run_id = ? AND generation = ?
"""

_NOTE_START = """
    UPDATE runs SET starts = ?, checkpoint_id = ?, taken_up = taken_up + ?
    WHERE run_id = ?
"""

# A run of the index as a row of the table, and back.


_FACTS = ("planner", "model", "tools", "usd", "retries", "taken_up", "rounds")

#: The columns by the names of the fields, what is known of the run's course last.
_NAMES = (
    *("run_id", "owner", "prompt", "limits", "created_at", "status", "started_at", "completed_at"),
    *("starts", "checkpoint_id", "budget", "cancel_at", "cancel_by", "approve", "expires_at"),
    *("question", "approval_answer", "learned"),
    *("choice", "metadata", "generation", "retry", "forked_from", "seed", "posted_by", "webhook"),
    *("traceparent", "thread_id", *_FACTS),
)

#: Those that hold JSON, or nothing.
_ORDERS = frozenset({"approval_answer", "learned", "retry", "seed"})
_JSON = _ORDERS | {"limits", "budget", "choice", "metadata"}

#: The column kept its name when the field was given a better one.
COLUMNS = ", ".join(_NAMES).replace("approval_answer", "decision")

NO_MORE: Mapping[str, str] = MappingProxyType({})


def inserting(
    row: RunRow, condition: str, bounds: Sequence[Any], more: Mapping[str, str] = NO_MORE
) -> list[Statement]:
    """What writes a new run where the condition holds; the last statement does, or not.

    `more` are columns that one backend has beside those of all.
    """
    own = [_written(name, getattr(row, name)) for name in _NAMES[: -len(_FACTS)]]
    *others, _ = own  # the thread comes last
    thread, of = ("?", [row.thread]) if row.thread_name is None else by_name(row)
    marks = ", ".join([*("?" for _ in others), thread, *("?" for _ in (*_FACTS, *more))])
    columns = ", ".join((COLUMNS, *more))
    insert = f"INSERT INTO runs ({columns}) SELECT {marks} WHERE {condition}"
    values = (*others, *of, *facts_values(row.facts), *more.values(), *bounds)
    named = [] if row.thread_name is None else [naming(row, condition, bounds)]
    return [*named, (insert, values)]


def facts_values(facts: Facts) -> tuple[Any, ...]:
    """The last columns: what is known of the run's course."""
    tools = json.dumps(facts.tools)
    counts = facts.retries, facts.taken_up, facts.rounds
    return facts.planner, facts.model, tools, facts.usd, *counts


def row_of(row: Sequence[Any]) -> RunRow:
    """The run of a row that was read."""
    named = dict(zip(_NAMES, row, strict=True))
    facts = {name: named.pop(name) for name in _FACTS}
    for name in _JSON:
        named[name] = json.loads(named[name]) if named[name] else None
    if named["thread_id"] == named["run_id"]:
        named["thread_id"] = None
    return RunRow(**named, facts=Facts(**{**facts, "tools": tuple(json.loads(facts["tools"]))}))


def _written(name: str, value: Any) -> Any:
    if name not in _JSON:
        return value
    return json.dumps(value) if value else None
