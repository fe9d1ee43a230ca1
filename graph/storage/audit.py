"""Who did what with runs, as every backend keeps it: ids, times and names, and no content.

An entry is written in the transaction of the change that it is about. It outlasts its run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from typing_extensions import TypedDict

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
