"""What processes that share a database do otherwise than one that has it alone."""

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import psycopg
from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp

from graph.state.row import NO_QUOTA, Accepted, Quota, RunRow
from graph.storage.fleet import PostRefused, Tell
from graph.storage.postgres.connection import PostgresReader
from graph.storage.postgres.jobs import OUTDATED, ordering, queueing
from graph.storage.postgres.limits import FULL, GRANTED, adding, counting
from graph.storage.postgres.search import PostgresIndex
from graph.storage.postgres.store import PostgresStore, text_of
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.sql.outbox import SqlOutbox
from graph.storage.sql.statements import Statement
from tools.receipts import MOST_KEPT, RECEIPTS, Full, Outdated


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
