"""The run index: accepted requests, and a projection of each run for listing and recovery.

The checkpoint is the run. A row holds the request until there is a first checkpoint, and afterwards
what a list shows; where the two differ, the checkpoint wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from graph.decision import Decision
from graph.retrying import RetryOrder
from graph.state import Approve, Budget, Limits, RunState, Status
from graph.status import SETTLED, TRANSITIONS, may_become


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in the index; times in epoch seconds.

    `cancel_at` and `cancel_by` say that somebody asked for its cancellation, whatever came of it.
    `starts` counts how often in a row it was started with `checkpoint_id` as its latest
    checkpoint, so that a run which kills its process is not started for ever. `decision` is what
    was decided about its plan, `expires_at` until when that may be done. `generation` counts how
    often it was retried, and `retry` is the last order to do so. A fork has the id of its origin in
    `forked_from`, and until it is begun the state that it begins with in `seed`.
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
    approve: Approve = "never"
    expires_at: float | None = None
    decision: Decision | None = None
    generation: int = 0
    retry: RetryOrder | None = None
    forked_from: str | None = None
    seed: RunState | None = None


class RunIndex(Protocol):
    """What a backend keeps of runs beside their checkpoints."""

    async def accept(self, row: RunRow) -> None:
        """Store an accepted request; it survives power loss when this returns."""

    async def find(self, run_id: str) -> RunRow | None:
        """The row of a run, or None."""

    async def owned(self, run_id: str, owner: str | None) -> bool:
        """Whether there is this run, and it is the owner's; without one, whoever's it is."""

    async def newest(self, limit: int, owner: str | None = None) -> Sequence[RunRow]:
        """The latest accepted runs of the owner, without one of all, newest first."""

    async def forks(self, run_id: str) -> Sequence[str]:
        """The ids of the runs that were forked from this one, oldest first."""

    async def unsettled(self) -> Sequence[RunRow]:
        """Every run that is not settled, in the order of acceptance."""

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        generation: int | None = None,
    ) -> bool:
        """Take over a run's status where the table of transitions allows it; whether it did.

        With `generation` only while the run was retried so many times, and no more.
        """

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        """Mark a run that is not settled as to be cancelled, unless it is; whether it is marked."""

    async def decide(self, run_id: str, decision: Decision) -> bool:
        """Store what was decided about a run's plan; whether it was the first thing said about it.

        A run that is settled, or marked as to be cancelled, has nothing to be decided.
        """

    async def forget_decision(self, run_id: str) -> None:
        """Let it be decided again about a run's plan."""

    async def note_expiry(self, run_id: str, at: float) -> None:
        """Remember until when it may be decided about a run's plan, in epoch seconds."""

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        """The ids of waiting runs about which it may no longer be decided, the earliest first."""

    async def request_retry(self, run_id: str, order: RetryOrder) -> bool:
        """Make a settled run one that is to go on, as if it had just been accepted.

        Whether it is: of several orders with one generation, the first counts.
        """

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        """Remember how often in a row a run was started with this latest checkpoint."""

    async def settled_before(
        self, moment: float, *, after: RunRow | None, limit: int
    ) -> Sequence[RunRow]:
        """The runs settled before an epoch second, the first first, from beyond `after` on."""

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

    async def accept(self, row: RunRow) -> None:
        self._rows[row.run_id] = row

    async def find(self, run_id: str) -> RunRow | None:
        return self._rows.get(run_id)

    async def owned(self, run_id: str, owner: str | None) -> bool:
        row = self._rows.get(run_id)
        return row is not None and owner in (row.owner, None)

    async def newest(self, limit: int, owner: str | None = None) -> Sequence[RunRow]:
        rows = (row for row in reversed(self._rows.values()) if owner in (row.owner, None))
        return list(islice(rows, limit))

    async def forks(self, run_id: str) -> Sequence[str]:
        return [row.run_id for row in self._rows.values() if row.forked_from == run_id]

    async def unsettled(self) -> Sequence[RunRow]:
        return [row for row in self._rows.values() if row.status not in SETTLED]

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        generation: int | None = None,
    ) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.status not in leads_to(status):
            return False
        if generation not in (row.generation, None):
            return False
        self._rows[run_id] = replace(
            row, status=status, started_at=started_at, completed_at=completed_at, seed=None
        )
        return True

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        row = self._rows.get(run_id)
        if row is None or not may_become(row.status, "cancelled"):
            return False
        if row.cancel_at is None:
            self._rows[run_id] = replace(row, cancel_at=at, cancel_by=by)
        return True

    async def decide(self, run_id: str, decision: Decision) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.status in SETTLED or row.decision or row.cancel_at is not None:
            return False
        self._rows[run_id] = replace(row, decision=decision)
        return True

    async def forget_decision(self, run_id: str) -> None:
        self._rows[run_id] = replace(self._rows[run_id], decision=None)

    async def note_expiry(self, run_id: str, at: float) -> None:
        self._rows[run_id] = replace(self._rows[run_id], expires_at=at)

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        due = [
            (row.expires_at, row.run_id)
            for row in self._rows.values()
            if row.status == "waiting" and row.expires_at is not None and row.expires_at <= now
            if row.decision is None and row.cancel_at is None
        ]
        return [run_id for _, run_id in sorted(due)[:limit]]

    async def request_retry(self, run_id: str, order: RetryOrder) -> bool:
        row = self._rows.get(run_id)
        if row is None or row.generation != order["generation"] - 1:
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
            decision=None,
            generation=order["generation"],
            retry=order,
        )
        return True

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        if row := self._rows.get(run_id):
            self._rows[run_id] = replace(row, starts=starts, checkpoint_id=checkpoint_id)

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
        """Forget a run if it is settled, retried so many times; whether it was here and is."""
        row = self._rows.get(run_id)
        if row is None or row.status not in SETTLED or row.generation != generation:
            return False
        del self._rows[run_id]
        return True

    async def check(self) -> None:
        return None
