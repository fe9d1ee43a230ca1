"""Runs as a list shows them, a page at a time."""

from typing_extensions import TypedDict

from graph.cursor import encode
from graph.facts import Planner
from graph.run_row import RunRow
from graph.search import MOST_COUNTED, Found, Search, duration, total
from graph.state import Status


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
    """A page of a search; `total` and each of `counts` are exact up to `MOST_COUNTED`."""

    runs: list[Summary]
    total: int
    total_is_lower_bound: bool
    counts: dict[Status, int]
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
    counts = {status: min(count, MOST_COUNTED) for status, count in found.counts.items()}
    return Page(
        runs=[summary_of(row) for row in found.rows],
        total=matching,
        total_is_lower_bound=bounded,
        counts=counts,
        next_cursor=encode(found.after, search, owner=owner) if found.after else None,
    )
