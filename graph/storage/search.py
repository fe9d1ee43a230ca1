"""Looking for runs: what is asked, and what is answered, on every backend alike."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graph.state import Status
from graph.state.row import Planner, RunRow
from graph.state.status import STATUSES

#: Counts are exact up to here; what is more is only known to be that.
MOST_COUNTED = 10_000

Sort = Literal["time", "duration", "cost"]


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place between two runs: after the one with this key, and this number of acceptance.

    `key` is the duration or cost that is sorted by, None where it is not known or not used.
    """

    key: float | None
    number: int


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which runs, and in which order; what is left out (None, empty) says nothing.

    `text`: every word of it is one of the prompt's, whatever its case and accents; words without a
    blank between them follow each other there. Times are epoch seconds: from `created_from` on,
    before `created_before`; the other bounds are inclusive. `sort` by time is the order of
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
    taken_up: bool | None = None
    sort: Sort = "time"
    descending: bool = True
    limit: int = 50
    after: Position | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page of a search; `after` is where the next one begins, None at the end.

    `counts` tells of each status how many runs with it match all but `statuses`; what is more than
    `MOST_COUNTED` is one more.
    """

    rows: Sequence[RunRow]
    counts: Mapping[Status, int]
    after: Position | None


def total(found: Found, search: Search) -> tuple[int, bool]:
    """How many runs match, and whether there are more than that."""
    counted = sum(found.counts[status] for status in search.statuses or STATUSES)
    return min(counted, MOST_COUNTED), counted > MOST_COUNTED


def duration(row: "RunRow") -> float | None:
    """How long a run was executed, waits included, in seconds; None until it is settled."""
    if row.started_at is None or row.completed_at is None:
        return None
    return row.completed_at - row.started_at


def search_rows(rows: "Sequence[tuple[int, RunRow]]", search: Search) -> Found:
    """Look through the rows, which are given with their numbers of acceptance."""
    numbered = [(number, row) for number, row in rows if _matches(row, search)]
    counts = dict.fromkeys(STATUSES, 0)
    for _, row in numbered:
        counts[row.status] = min(counts[row.status] + 1, MOST_COUNTED + 1)
    places = [
        (Position(key=_key(row, search), number=number), row)
        for number, row in numbered
        if not search.statuses or row.status in search.statuses
    ]
    places.sort(key=lambda place: sort_key(place[0], search))
    if search.after is not None:
        begin = sort_key(search.after, search)
        places = [place for place in places if sort_key(place[0], search) > begin]
    page = places[: search.limit]
    after = page[-1][0] if len(places) > len(page) else None
    return Found(rows=[row for _, row in page], counts=counts, after=after)


def _key(row: "RunRow", search: Search) -> float | None:
    known = {"time": None, "duration": duration(row), "cost": row.facts.usd}[search.sort]
    return None if known is None else float(known)


def sort_key(position: Position, search: Search) -> tuple[bool, float, int]:
    """What positions are sorted by, whichever way the search goes."""
    sign = -1 if search.descending else 1
    return position.key is None, sign * (position.key or 0.0), sign * position.number


def _matches(row: "RunRow", search: Search) -> bool:
    facts = row.facts
    return all(
        (
            search.text is None or has_terms(row.prompt, search.text),
            search.tool is None or search.tool in facts.tools,
            search.planner in (None, facts.planner),
            search.model in (None, facts.model),
            _within(row.created_at, search.created_from, None),
            search.created_before is None or row.created_at < search.created_before,
            _within(facts.usd, search.min_usd, search.max_usd),
            _within(facts.retries, search.min_retries, search.max_retries),
            search.taken_up in (None, facts.taken_up > 0),
        )
    )


def _within(value: float | None, least: float | None, most: float | None) -> bool:
    if value is None:
        return least is None and most is None
    return (least is None or value >= least) and (most is None or value <= most)


# The words of a text, as SQLite's full-text search (`unicode61`, no diacritics) reads them.


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case and without accents."""
    apart = unicodedata.normalize("NFD", text)
    bare = "".join(character for character in apart if not "\u0300" <= character <= "\u0331")
    lower = unicodedata.normalize("NFC", bare).lower()
    return "".join(character if _is_of_word(character) else " " for character in lower).split()


def terms(text: str) -> list[str]:
    """What to look for: the parts of a text between blanks, but those without any word."""
    return [part for part in text.split() if words(part)]


def has_terms(prompt: str, text: str) -> bool:
    """Whether the words of each term follow each other in the prompt; never without terms."""
    sought = [words(term) for term in terms(text)]
    return bool(sought) and all(_follow(words(prompt), term) for term in sought)


def full_text_query(text: str) -> str | None:
    """The same as a query, in which nothing of the text is syntax; None without terms."""
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms(text)]
    return " AND ".join(quoted) or None


def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def _follow(present: list[str], sought: list[str]) -> bool:
    size = len(sought)
    return any(present[place : place + size] == sought for place in range(len(present)))
