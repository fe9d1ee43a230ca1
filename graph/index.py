"""The run index: accepted requests, and a projection of each run for listing and recovery.

The checkpoint is the run. A row holds the request until there is a first checkpoint, and afterwards
what a list shows; where the two differ, the checkpoint wins.
"""

from collections.abc import Sequence
from typing import Protocol

from graph.decision import Decision
from graph.facts import NO_FACTS, Facts
from graph.request_key import KeyedRun, RequestKey
from graph.retrying import RetryOrder
from graph.run_row import RunRow
from graph.search import Found, Search
from graph.state import Status
from graph.status import SETTLED, TRANSITIONS


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

    async def owned(self, run_id: str, owner: str | None) -> bool:
        """Whether there is this run, and it is the owner's; without one, whoever's it is."""

    async def forks(self, run_id: str) -> Sequence[str]:
        """The ids of the runs that were forked from this one, oldest first."""

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
        generation: int | None = None,
    ) -> bool:
        """Take over a run's status and facts where the table allows the change; whether it did.

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
        """Remember how often in a row a run was started with this latest checkpoint.

        A start is one that takes the run up.
        """

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
