"""Looking for runs: what is asked, and what is answered, on every backend alike."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from graph.state import Status
from graph.state.row import Planner, RunRow
from graph.state.wording import searchable

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
