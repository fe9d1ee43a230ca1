"""The run index: accepted requests, and a projection of each run for listing and recovery.

The checkpoint is the run. A row holds the request until there is a first checkpoint, and afterwards
what a list shows; where the two differ, the checkpoint wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from graph.facts import NO_FACTS, Facts
from graph.request_key import KEPT, KeyedRun, RequestKey
from graph.search import Found, Search, search_rows
from graph.state import Budget, Limits, Status
from graph.status import SETTLED, TRANSITIONS, may_become


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in the index; times in epoch seconds.

    `cancel_at` and `cancel_by` say that somebody asked for its cancellation, whatever came of it.
    `starts` counts how often in a row it was started with `checkpoint_id` as its latest
    checkpoint, so that a run which kills its process is not started for ever.
    """

    run_id: str
    owner: str
    prompt: str
    limits: Limits
    created_at: float
    budget: Budget | None = None
    status: Status = "pending"
    started_at: float | None = None
    completed_at: float | None = None
    starts: int = 1
    checkpoint_id: str | None = None
    cancel_at: float | None = None
    cancel_by: str | None = None
    facts: Facts = NO_FACTS


class RunIndex(Protocol):
    """What a backend keeps of runs beside their checkpoints."""

    async def accept(self, row: RunRow) -> None:
        """Store an accepted request; it survives power loss when this returns."""

    async def accept_once(self, row: RunRow, key: RequestKey) -> KeyedRun:
        """Store an accepted request with its key, both or neither; durable as with `accept`.

        The run that has the key from now on: this one, unless its owner has used it before.
        """

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        """The run that an owner's key stands for at this time, in epoch seconds, or None."""

    async def find(self, run_id: str) -> RunRow | None:
        """The row of a run, or None."""

    async def newest(self, limit: int) -> Sequence[RunRow]:
        """The latest accepted runs, newest first."""

    async def search(self, owner: str, search: Search) -> Found:
        """The runs of an owner that match, a page of them."""

    async def unsettled(self) -> Sequence[RunRow]:
        """Every run that is not settled, in the order of acceptance."""

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        facts: Facts = NO_FACTS,
    ) -> bool:
        """Take over a run's status and facts where the table allows the change; whether it did."""

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        """Mark a run that is not settled as to be cancelled, unless it is; whether it is marked."""

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        """Remember how often in a row a run was started with this latest checkpoint.

        A start is one that takes the run up.
        """

    async def check(self) -> None:
        """Raise the backend's error when nothing can be written now."""


def leads_to(status: Status) -> list[Status]:
    """The statuses out of which a run may come to `status`, over several changes as well.

    A projection may skip changes in between: a run can be settled before `running` was written.
    """
    before: set[Status] = set()
    frontier: set[Status] = {status}
    while frontier:
        frontier = {
            source
            for source, targets in TRANSITIONS.items()
            if targets & frontier and source not in before | SETTLED
        }
        before |= frontier
    return sorted(before - {status})


class MemoryIndex:
    """A run index that ends with its process; for notebooks and unit tests."""

    def __init__(self) -> None:
        self._rows: dict[str, RunRow] = {}
        self._numbers: dict[str, int] = {}
        self._keys: dict[tuple[str, str], tuple[KeyedRun, float]] = {}

    async def accept(self, row: RunRow) -> None:
        self._rows[row.run_id] = row

    async def accept_once(self, row: RunRow, key: RequestKey) -> KeyedRun:
        if first := await self.find_key(row.owner, key.name, at=row.created_at):
            return first
        self._rows[row.run_id] = row
        keyed = KeyedRun(run_id=row.run_id, fingerprint=key.fingerprint)
        self._keys[row.owner, key.name] = (keyed, row.created_at)
        return keyed

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        keyed, since = self._keys.get((owner, name), (None, 0.0))
        return keyed if since > at - KEPT else None

    async def find(self, run_id: str) -> RunRow | None:
        return self._rows.get(run_id)

    async def newest(self, limit: int) -> Sequence[RunRow]:
        return list(reversed(self._rows.values()))[:limit]

    async def search(self, owner: str, search: Search) -> Found:
        for run_id in self._rows:
            self._numbers.setdefault(run_id, len(self._numbers) + 1)
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
    ) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.status not in leads_to(status):
            return False
        self._rows[run_id] = replace(
            row, status=status, started_at=started_at, completed_at=completed_at, facts=facts
        )
        return True

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        row = self._rows.get(run_id)
        if row is None or not may_become(row.status, "cancelled"):
            return False
        if row.cancel_at is None:
            self._rows[run_id] = replace(row, cancel_at=at, cancel_by=by)
        return True

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        row = self._rows[run_id]
        facts = replace(row.facts, taken_up=row.facts.taken_up + (starts > 0))
        self._rows[run_id] = replace(row, starts=starts, checkpoint_id=checkpoint_id, facts=facts)

    async def check(self) -> None:
        return None
