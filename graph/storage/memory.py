"""Storage that ends with its process: LangGraph's in-memory saver and store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from graph.state import Status
from graph.state.row import (
    KEPT,
    NO_FACTS,
    ApprovalAnswer,
    Facts,
    IdempotencyKey,
    KeyedRun,
    RetryCommand,
    RunArtifacts,
    RunRow,
)
from graph.state.status import SETTLED, leads_to, may_become
from graph.storage.search import Found, Search, search_rows
from graph.storage.storage import Spent, Storage, strict_serializer
from nodes.planning.model import Call, Cost


@asynccontextmanager
async def open_memory() -> AsyncIterator[Storage]:
    """A fresh, empty backend."""
    saver = InMemorySaver(serde=strict_serializer())
    store, index = InMemoryStore(), MemoryIndex()
    spending = MemorySpending(index)
    yield Storage(
        backend="memory",
        saver=saver,
        reader=saver,
        store=store,
        index=index,
        spending=spending,
        remove=MemoryDeletion(saver, store, index, spending),
        errors=(),
    )


class MemoryIndex:
    """A run index that ends with its process; for notebooks and unit tests."""

    def __init__(self) -> None:
        self._rows: dict[str, RunRow] = {}
        self._numbers: dict[str, int] = {}
        self._accepted = count(1)
        self._keys: dict[tuple[str, str], tuple[KeyedRun, float]] = {}
        self._key_of: dict[str, tuple[str, str]] = {}

    async def accept(self, row: RunRow) -> None:
        self._rows[row.run_id] = row
        self._numbers[row.run_id] = next(self._accepted)

    async def accept_once(self, row: RunRow, key: IdempotencyKey) -> KeyedRun:
        if first := await self.find_key(row.owner, key.name, at=row.created_at):
            return first
        await self.accept(row)
        keyed = KeyedRun(run_id=row.run_id, fingerprint=key.fingerprint)
        self._keys[row.owner, key.name] = (keyed, row.created_at)
        self._key_of[row.run_id] = (row.owner, key.name)
        return keyed

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        keyed, since = self._keys.get((owner, name), (None, 0.0))
        return keyed if since > at - KEPT else None

    async def find(self, run_id: str) -> RunRow | None:
        return self._rows.get(run_id)

    async def owned(self, run_id: str, owner: str | None) -> bool:
        row = self._rows.get(run_id)
        return row is not None and owner in (row.owner, None)

    async def forks(self, run_id: str) -> Sequence[str]:
        return [row.run_id for row in self._rows.values() if row.forked_from == run_id]

    async def search(self, owner: str, search: Search) -> Found:
        rows = [row for row in self._rows.values() if row.owner == owner]
        return search_rows([(self._numbers[row.run_id], row) for row in rows], search)

    async def unsettled(self) -> Sequence[RunRow]:
        return [row for row in self._rows.values() if row.status not in SETTLED]

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
        row = self._rows.get(run_id)
        if row is None or row.status not in leads_to(status):
            return False
        if generation not in (row.generation, None):
            return False
        self._rows[run_id] = replace(
            row,
            status=status,
            started_at=started_at,
            completed_at=completed_at,
            facts=facts,
            seed=None,
        )
        return True

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        row = self._rows.get(run_id)
        if row is None or not may_become(row.status, "cancelled"):
            return False
        if row.cancel_at is None:
            self._rows[run_id] = replace(row, cancel_at=at, cancel_by=by)
        return True

    async def decide(self, run_id: str, approval_answer: ApprovalAnswer) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.status in SETTLED or row.approval_answer or row.cancel_at is not None:
            return False
        self._rows[run_id] = replace(row, approval_answer=approval_answer)
        return True

    async def forget_approval_answer(self, run_id: str) -> None:
        self._rows[run_id] = replace(self._rows[run_id], approval_answer=None)

    async def note_expiry(self, run_id: str, at: float) -> None:
        self._rows[run_id] = replace(self._rows[run_id], expires_at=at)

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        due = [
            (row.expires_at, row.run_id)
            for row in self._rows.values()
            if row.status == "waiting" and row.expires_at is not None and row.expires_at <= now
            if row.approval_answer is None and row.cancel_at is None
        ]
        return [run_id for _, run_id in sorted(due)[:limit]]

    async def request_retry(self, run_id: str, command: RetryCommand) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.generation != command["generation"] - 1:
            return False
        self._rows[run_id] = replace(
            row,
            status="pending",
            started_at=None,
            completed_at=None,
            starts=1,
            checkpoint_id=None,
            cancel_at=None,
            cancel_by=None,
            expires_at=None,
            approval_answer=None,
            generation=command["generation"],
            retry=command,
        )
        return True

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        if row := self._rows.get(run_id):
            facts = replace(row.facts, taken_up=row.facts.taken_up + (starts > 0))
            self._rows[run_id] = replace(
                row, starts=starts, checkpoint_id=checkpoint_id, facts=facts
            )

    async def settled_before(
        self, moment: float, *, after: RunRow | None, limit: int
    ) -> Sequence[RunRow]:
        beyond = (after.completed_at or 0.0, after.run_id) if after else (0.0, "")
        due = [
            (row.completed_at, row.run_id, row)
            for row in self._rows.values()
            if row.status in SETTLED and row.completed_at is not None and row.completed_at < moment
        ]
        return [
            row for at, run_id, row in sorted(due, key=lambda one: one[:2]) if (at, run_id) > beyond
        ][:limit]

    def remove(self, run_id: str, *, generation: int) -> bool:
        """Forget a run, and its key, if it is settled, retried so many times; whether it was."""
        row = self._rows.get(run_id)
        if row is None or row.status not in SETTLED or row.generation != generation:
            return False
        del self._rows[run_id], self._numbers[run_id]
        name = self._key_of.pop(run_id, None)
        if name is not None and self._keys[name][0].run_id == run_id:
            del self._keys[name]
        return True

    async def check(self) -> None:
        return None


class MemorySpending:
    """Ends with its process, as the runs do."""

    def __init__(self, index: MemoryIndex) -> None:
        self._index = index
        self._spent: dict[tuple[str, str], Spent] = {}
        self._counted: dict[str, str] = {}

    async def of(self, owner: str, day: str) -> Spent:
        return self._spent.get((owner, day), Spent())

    async def hold(self, call: Call, day: str, cost: Cost) -> None:
        """Nothing outlasts the process, so that nothing has to be set aside."""

    async def release(self, call: Call) -> None:
        """Nothing was set aside."""

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        if await self._index.find(call.run_id):
            if self._counted.get(call.run_id) == call.key:
                return False
            self._counted[call.run_id] = call.key
        self._spent[call.owner, day] = (await self.of(call.owner, day)).plus(cost)
        return True

    def forget(self, run_id: str) -> None:
        """A run is removed; what it has spent stays spent."""
        self._counted.pop(run_id, None)


class MemoryDeletion:
    """Removes runs from all of its parts."""

    def __init__(
        self,
        saver: InMemorySaver,
        store: InMemoryStore,
        index: MemoryIndex,
        spending: MemorySpending,
    ) -> None:
        self._saver = saver
        self._store = store
        self._index = index
        self._spending = spending

    async def __call__(self, runs: Sequence[RunArtifacts]) -> int:
        """Remove these runs, those of them that are settled; how many that were."""
        return sum([self._remove(run) for run in runs])

    def _remove(self, run: RunArtifacts) -> bool:
        if not self._index.remove(run.run_id, generation=run.generation):
            return False
        self._saver.delete_thread(run.run_id)
        self._spending.forget(run.run_id)
        self._store.batch([PutOp(run.receipts, key, None) for key in run.step_keys])
        return True
