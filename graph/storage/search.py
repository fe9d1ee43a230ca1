"""Looking for runs: what is asked, and what is answered, a page at a time, on every backend."""

import base64
import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, cast

from typing_extensions import TypedDict

from graph.state import Status
from graph.state.row import RunRow
from graph.state.run import Planner
from graph.state.wording import Time, doc, searchable

#: Counts are exact up to here, where words are sought up to the second; what is more is only known
#: to be that.
MOST_COUNTED, MOST_COUNTED_BY_WORDS = 10_000, 1_000

#: The most retries, or rounds, that a bound may name.
LARGEST_BOUND = 10**6

Sort = Literal["time", "duration", "cost"]


class SearchTooLarge(Exception):
    """Too many runs would have to be looked through before the first by this order is known."""

    def __init__(self, sort: Sort) -> None:
        super().__init__(f"too many runs to sort by {sort}")
        self.sort = sort


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place between two runs: after the one with this key, and this number of acceptance.

    Numbers are counted by owner.

    `key` is the duration or cost that is sorted by, None where it is not known or not used.
    """

    key: float | None
    number: int


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which runs, and in which order; what is left out (None, empty) says nothing.

    `text`: every word of it is one of the prompt's, whatever its case, width and accents; words
    without a blank between them follow each other there, and so do the characters of a script that
    writes no blanks, within words as well. Times are epoch seconds: from `created_from` on,
    before `created_before`; the other bounds are inclusive. `metadata`: all of these
    pairs are among the run's. `thread_id`: those of this thread. `sort` by time is the order of
    acceptance. Runs whose duration or cost is not known come last in either order, and no bound of
    the cost holds for them.
    """

    statuses: tuple[Status, ...] = ()
    text: str | None = None
    tool: str | None = None
    planner: Planner | None = None
    model: str | None = None
    created_from: float | None = None
    created_before: float | None = None
    min_usd: float | None = None
    max_usd: float | None = None
    min_retries: int | None = None
    max_retries: int | None = None
    min_rounds: int | None = None
    max_rounds: int | None = None
    taken_up: bool | None = None
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # as cursors know it
    thread_id: str | None = field(default=None, repr=False)  # as well
    sort: Sort = "time"
    descending: bool = True
    limit: int = 50
    after: Position | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page of a search; `after` is where the next one begins, None at the end.

    `matching` is how many match, `counts` tells of each status how many runs with it match all but
    `statuses`, None where words are sought. What is more than its bound is one more, or some. Where
    it was not `complete`, as a search goes only so far, there may be more than was counted.
    """

    rows: Sequence[RunRow]
    matching: int
    counts: Mapping[Status, int] | None
    after: Position | None
    complete: bool = True


def total(found: Found, search: Search) -> tuple[int, bool]:
    """How many runs match, and whether there are, or may be, more than that."""
    bound = MOST_COUNTED if search.text is None else MOST_COUNTED_BY_WORDS
    return min(found.matching, bound), found.matching > bound or not found.complete


def duration(row: RunRow) -> float | None:
    """How long a run was executed, waits included, in seconds; None until it is settled."""
    if row.started_at is None or row.completed_at is None:
        return None
    return row.completed_at - row.started_at


def sort_key(position: Position, search: Search) -> tuple[bool, float, int]:
    """What positions are sorted by, whichever way the search goes."""
    sign = -1 if search.descending else 1
    return position.key is None, sign * (position.key or 0.0), sign * position.number


# The words of a text, as SQLite's full-text search (`unicode61`, no diacritics) reads them once it
# is `searchable`.


def terms(text: str) -> list[str]:
    """What to look for: the parts of a text between blanks, but those without any word."""
    parts = map(searchable, text.split())
    return [part for part in parts if any(map(is_of_word, part))]


def full_text_query(text: str) -> str | None:
    """Prompts that have the words of each term, in a row; nothing of the text is syntax.

    None without terms.
    """
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms(text)]
    return " AND ".join(quoted) or None


def is_of_word(character: str) -> bool:
    """Whether a word can have it: a letter, a digit, or one for private use."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


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


# Where a search goes on: a position as clients carry it, bound to the search that it is of.


#: Longest cursor, in characters; those that we write have about 60.
LONGEST_CURSOR = 200


class InvalidCursor(Exception):
    """What was given is not a cursor of this search."""


def encode(position: Position, search: Search, *, owner: str) -> str:
    """The cursor of a position in this search."""
    written = json.dumps([_mark(search, owner), position.key, position.number])
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def decode(cursor: str, search: Search, *, owner: str) -> Position:
    """The position that a cursor is of. Raises `InvalidCursor`."""
    try:
        if len(cursor) > LONGEST_CURSOR:
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
