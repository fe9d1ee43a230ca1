"""What every backend writes down with a change of a run: who did it, and what is to be posted.

Both are written in the transaction of the change, so that nothing is lost where the process dies
between the two. The audit has ids, times and names, and no content; its entries outlast their runs.
The outbox has what is to be posted of a change of a run's status.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from typing_extensions import TypedDict

from graph.state import Status
from graph.state.wording import Time, doc

Act = Literal[
    "post",
    "fork",
    "approve",
    "reject",
    "expire",
    "resolve",
    "cancel",
    "retry",
    "delete",
    "webhook",
]


class AuditEntry(TypedDict):
    """Something that somebody did with a run."""

    at: Annotated[Time, doc("When.")]
    kind: Annotated[
        Act,
        doc(
            "What: `expire` is the end of the time for a decision, `delete` also that of retention,"
            " and `webhook` that an endpoint was told."
        ),
    ]
    by: Annotated[
        str,
        doc(
            "Who: the name of a key, `client` without keys, `the command line`, `server`, "
            "`retention`, and with `webhook` the host that was told."
        ),
    ]
    owner: Annotated[str, doc("Whose run it is, or was.")]
    run_id: Annotated[str, doc("The run, which may have been removed since.")]


class AuditPage(TypedDict):
    """A page of what was done."""

    entries: Annotated[list[AuditEntry], doc("The latest first.")]
    next_cursor: Annotated[
        str | None, doc("Given as `cursor`, goes on after this page; null on the last one.")
    ]


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """Which entries; what is left out does not matter. Times in epoch seconds."""

    kinds: tuple[Act, ...] = ()
    run_id: str | None = None
    since: float | None = None
    before: float | None = None


class Audit(Protocol):
    """The entries of one backend, numbered in the order in which they were written.

    A backend writes one whenever the row of a run is inserted (`post` or `fork`, by its
    `posted_by`, else its owner), has `cancel_at`, `retry` or an approval answer stored, or is
    removed, and when a delivery of the outbox is forgotten because it was posted.
    """

    async def page(
        self, owner: str | None, query: AuditQuery, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        """What was done with the runs of an owner (None: of all), the latest first.

        Only what was written before the number `before`; with the number that the next page begins
        before, None at the end.
        """

    async def prune(self, moment: float, *, limit: int) -> int:
        """Forget what was done with runs removed before an epoch second, of so many runs at most.

        How many entries that were.
        """


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
