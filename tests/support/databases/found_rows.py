"""What a search finds, worked out from the rows themselves: what a backend's answer is held to."""

import unicodedata
from collections.abc import Sequence

from graph.state.row import RunRow
from graph.state.status import STATUSES
from graph.state.wording import searchable
from graph.storage.search import (
    MOST_COUNTED,
    MOST_COUNTED_BY_WORDS,
    Found,
    Position,
    Search,
    duration,
    is_of_word,
    sort_key,
    terms,
)


def search_rows(rows: Sequence[tuple[int, RunRow]], search: Search) -> Found:
    """Look through the rows, which are given with their numbers of acceptance."""
    numbered = [(number, row) for number, row in rows if _matches(row, search)]
    counts = dict.fromkeys(STATUSES, 0)
    for _, row in numbered:
        counts[row.status] = min(counts[row.status] + 1, MOST_COUNTED + 1)
    matching = sum(counts[status] for status in search.statuses or STATUSES)
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
    rows_of_page = [row for _, row in page]
    if search.text is not None:
        bounded = min(matching, MOST_COUNTED_BY_WORDS + 1)
        return Found(rows=rows_of_page, matching=bounded, counts=None, after=after)
    return Found(rows=rows_of_page, matching=matching, counts=counts, after=after)


def _key(row: RunRow, search: Search) -> float | None:
    known = {"time": None, "duration": duration(row), "cost": row.facts.usd}[search.sort]
    return None if known is None else float(known)


def _matches(row: RunRow, search: Search) -> bool:
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
            _within(facts.rounds, search.min_rounds, search.max_rounds),
            search.taken_up in (None, facts.taken_up > 0),
            {*search.metadata} <= {*(row.metadata or {}).items()},
        )
    )


def _within(value: float | None, least: float | None, most: float | None) -> bool:
    if value is None:
        return least is None and most is None
    return (least is None or value >= least) and (most is None or value <= most)


def has_terms(prompt: str, text: str) -> bool:
    """Whether the words of each term follow each other in the prompt; never without terms."""
    sought = [words(term) for term in terms(text)]
    present = words(searchable(prompt))
    return bool(sought) and all(_follow(present, term) for term in sought)


def _follow(present: list[str], sought: list[str]) -> bool:
    size = len(sought)
    return any(present[place : place + size] == sought for place in range(len(present)))


def words(text: str) -> list[str]:
    """As full-text search reads them: letters and digits, in lower case and without accents."""
    apart = unicodedata.normalize("NFD", text)
    bare = "".join(character for character in apart if not "\u0300" <= character <= "\u0331")
    lower = unicodedata.normalize("NFC", bare).lower()
    return "".join(character if is_of_word(character) else " " for character in lower).split()
