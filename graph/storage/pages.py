"""Runs as a list shows them, and who did what with them, a page at a time."""

import base64
import hashlib
import json
import math
from dataclasses import replace
from typing import Annotated, cast

from typing_extensions import TypedDict

from graph.state import Status
from graph.state.row import Planner, RunRow
from graph.state.wording import Time, doc
from graph.storage.audit import AuditPage, AuditQuery
from graph.storage.search import MOST_COUNTED, Found, Position, Search, duration, total
from graph.storage.storage import Storage


class RunSummary(TypedDict):
    """One run in a list."""

    run_id: Annotated[str, doc("The id of the run.")]
    thread_id: Annotated[str, doc("The thread that it belongs to; its own id where it began one.")]
    owner: Annotated[str, doc("Whose run it is; `default` where there are no keys.")]
    prompt: Annotated[str, doc("What was asked.")]
    status: Annotated[Status, doc("Where the run stands.")]
    created_at: Annotated[Time, doc("When it was accepted.")]
    started_at: Annotated[Time | None, doc("When its planning began.")]
    completed_at: Annotated[Time | None, doc("When it was settled.")]
    duration_ms: Annotated[
        float | None,
        doc("From the start of its planning until it was settled, in milliseconds."),
    ]
    planner: Annotated[Planner | None, doc("Who made the plan: a model or the pattern planner.")]
    model: Annotated[str | None, doc("The model that made the plan.")]
    tools: Annotated[
        list[str], doc("The tools that it called and, while it is not settled, those of its plan.")
    ]
    usd: Annotated[
        float | None,
        doc("What its planning cost in US dollars; null while it goes on, or not known."),
    ]
    metadata: Annotated[dict[str, str], doc("What its caller calls it by.")]
    retries: Annotated[int, doc("Attempts after the first one, of all its steps.")]
    rounds: Annotated[int, doc("Rounds that its plan was made in; 0 while it has none.")]
    taken_up: Annotated[int, doc("How often it was gone on with after its server had ended.")]


class Counts(TypedDict):
    """How many runs have each status; exact up to 10,000, and then that many or more.

    With `total_is_lower_bound` each may be more than was counted.
    """

    pending: Annotated[int, doc("Accepted, not begun.")]
    running: Annotated[int, doc("Being planned or executed.")]
    waiting: Annotated[int, doc("Waiting for a person.")]
    completed: Annotated[int, doc("All is done.")]
    failed: Annotated[int, doc("Ended before all was done.")]
    cancelled: Annotated[int, doc("Ended because somebody said so.")]


class Page(TypedDict):
    """A page of runs."""

    runs: Annotated[list[RunSummary], doc("In the order that was asked for.")]
    total: Annotated[
        int, doc("How many runs match; exact up to 10,000, where `text` is sought up to 1,000.")
    ]
    total_is_lower_bound: Annotated[
        bool, doc("Whether there are, or may be, more than `total`: a search goes only so far.")
    ]
    counts: Annotated[
        Counts | None,
        doc("Those that match but for their status, by status; null where `text` is sought."),
    ]
    next_cursor: Annotated[
        str | None,
        doc(
            "Given as `cursor`, goes on after this page; null on the last one. Before that a page "
            "may have fewer runs than were asked for, or none, where many had to be looked through."
        ),
    ]


def summary_of(row: RunRow) -> RunSummary:
    """What a list shows of a run."""
    seconds = duration(row)
    return RunSummary(
        run_id=row.run_id,
        thread_id=row.thread,
        owner=row.owner,
        prompt=row.prompt,
        status=row.status,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        duration_ms=None if seconds is None else round(seconds * 1000, 3),
        planner=row.facts.planner,
        model=row.facts.model,
        tools=list(row.facts.tools),
        usd=row.facts.usd,
        metadata=row.metadata or {},
        retries=row.facts.retries,
        rounds=row.facts.rounds,
        taken_up=row.facts.taken_up,
    )


def found_page(found: Found, search: Search, *, owner: str) -> Page:
    """What a search answers."""
    matching, bounded = total(found, search)
    counts = None
    if found.counts is not None:
        counts = {status: min(count, MOST_COUNTED) for status, count in found.counts.items()}
    return Page(
        runs=[summary_of(row) for row in found.rows],
        total=matching,
        total_is_lower_bound=bounded,
        counts=cast("Counts | None", counts),
        next_cursor=encode(found.after, search, owner=owner) if found.after else None,
    )


class AuditTrail:
    """What was done with the runs of an owner; an `owner` of None is told of all."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def page(
        self, query: AuditQuery, *, owner: str | None, limit: int, cursor: str | None = None
    ) -> AuditPage:
        """The entries that are asked for, from beyond the page whose `next_cursor` this is.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        # What cursors are bound to: a search of runs that cannot be.
        search, whose = Search(thread_id="", text=repr(query)), owner or ""
        before = None if cursor is None else decode(cursor, search, owner=whose).number
        with self._storage.available():
            found, more = await self._storage.audit.page(owner, query, limit=limit, before=before)
        after = Position(key=None, number=more) if more is not None else None
        return AuditPage(
            entries=[*found],
            next_cursor=encode(after, search, owner=whose) if after else None,
        )


# Where a search goes on: a position as clients carry it, bound to the search that it is of.


#: Longest cursor, in characters; those that we write have about 60.
LONGEST = 200


class InvalidCursor(Exception):
    """What was given is not a cursor of this search."""


def encode(position: Position, search: Search, *, owner: str) -> str:
    """The cursor of a position in this search."""
    written = json.dumps([_mark(search, owner), position.key, position.number])
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def decode(cursor: str, search: Search, *, owner: str) -> Position:
    """The position that a cursor is of. Raises `InvalidCursor`."""
    try:
        if len(cursor) > LONGEST:
            raise InvalidCursor
        written = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        mark, key, number = json.loads(written)
        position = Position(key=key, number=number)
        if mark != _mark(search, owner) or not _is_possible(position, search):
            raise InvalidCursor
        if encode(position, search, owner=owner) != cursor:  # nearly one is none
            raise InvalidCursor
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidCursor from error
    return position


def _is_possible(position: Position, search: Search) -> bool:
    key, number = position.key, position.number
    sorted_by = isinstance(key, float) and math.isfinite(key) and search.sort != "time"
    return (key is None or sorted_by) and type(number) is int and 0 < number < 2**53


def _mark(search: Search, owner: str) -> str:
    """Tells this search from others; the size of its pages may change on the way."""
    asked = f"{owner!r} {replace(search, after=None, limit=0)!r}"
    if search.metadata:  # else a cursor is as earlier versions gave it
        asked += f" {search.metadata!r}"
    if search.thread_id is not None:
        asked += f" of {search.thread_id!r}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
