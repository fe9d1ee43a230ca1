"""Runs as a list shows them, a page at a time."""

import base64
import hashlib
import json
import math
from dataclasses import replace

from typing_extensions import TypedDict

from graph.state import Status
from graph.state.row import Planner, RunRow
from graph.storage.search import MOST_COUNTED, Found, Position, Search, duration, total


class Summary(TypedDict):
    """One run in a list; times in epoch seconds, `duration_ms` once it is settled.

    Planner to `taken_up` are as they were when the status was written.
    """

    run_id: str
    owner: str
    prompt: str
    status: Status
    created_at: float
    started_at: float | None
    completed_at: float | None
    duration_ms: float | None
    planner: Planner | None
    model: str | None
    tools: list[str]
    usd: float | None
    retries: int
    taken_up: int


class Page(TypedDict):
    """A page of a search; `total` and each of `counts` are exact up to their bounds.

    `counts` is None where words are sought.
    """

    runs: list[Summary]
    total: int
    total_is_lower_bound: bool
    counts: dict[Status, int] | None
    next_cursor: str | None


def summary_of(row: RunRow) -> Summary:
    """What a list shows of a run."""
    seconds = duration(row)
    return Summary(
        run_id=row.run_id,
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
        retries=row.facts.retries,
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
        counts=counts,
        next_cursor=encode(found.after, search, owner=owner) if found.after else None,
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
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
