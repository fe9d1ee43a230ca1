"""What is to be posted of runs, as every backend keeps it: written with the change that it tells.

A change of a run's status and what is to be posted of it are one transaction, so that nothing is
lost where the process dies between the two.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from graph.state import Status


@dataclass(frozen=True)
class Delivery:
    """One thing to be posted to one endpoint; times in epoch seconds.

    `number` orders them, and names the message, however often it is posted. `attempts` were made
    without success.
    """

    number: int
    run_id: str
    endpoint: str
    status: Status
    at: float
    attempts: int = 0


@dataclass(frozen=True)
class Undelivered:
    """One that could not be posted yet, or at all; `given_up` says which."""

    endpoint: str
    status: Status
    at: float
    attempts: int
    failure: str
    given_up: int


class Outbox(Protocol):
    """Deliveries of each run and endpoint have an order; one holds up those behind it.

    `may_have_failed` says whether anything may have been tried without success, which every record
    asks first.
    """

    may_have_failed: bool

    async def subscribe(self, endpoints: Mapping[str, Sequence[Status]]) -> None:
        """From now on these endpoints are told of changes to these statuses, and no others."""

    async def due(
        self, now: float, *, limit: int, without: Collection[str] = ()
    ) -> Sequence[Delivery]:
        """The first of each run and endpoint that is due by now, in order.

        Left out are endpoints that begin with one of `without`, as they do with a slash behind.
        """

    async def take(self, number: int, now: float) -> bool:
        """Have one that is due to oneself for a while; False where another process posts it."""

    async def next_due(self, *, after: float) -> float | None:
        """When the next is due of those that stand first, and are not due by `after`; or None."""

    async def delivered(self, one: Delivery) -> None:
        """Forget one that was posted, and write down that its host was told."""

    async def postpone(self, number: int, *, until: float, failure: str) -> None:
        """Try one again later."""

    async def give_up(self, number: int, *, failure: str) -> None:
        """Try one no more; it is kept with its run."""

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        """What of a run was tried without success, in order."""
