"""The run index on Postgres. A search is one statement for the page, one for how many match.

What a search may take is bounded by time, on connections of its own: who asks for too much is
told so, and holds up nobody who reads one run.
"""

import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psycopg

from graph.state import Learned, Status
from graph.state.row import NO_QUOTA, Quota, RunRow
from graph.state.status import STATUSES
from graph.state.wording import searchable
from graph.storage import search as bounds
from graph.storage.fleet import without_lease
from graph.storage.postgres.connection import PostgresReader
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.search import Found, Position, Search, SearchTooLarge, is_of_word, terms
from graph.storage.sql.index import COLUMNS, SqlIndex, inserting, row_of
from graph.storage.sql.statements import (
    KEYS,
    NUMBERS,
    Condition,
    Statement,
    beginning,
    conditions,
    of_status,
    ordering,
)

#: The longest that a statement of a search may take, in seconds, and how many of them there may be
#: at once.
LONGEST, SEARCHERS = 5.0, 2

_ORDINAL = "SELECT ordinal FROM owners WHERE owner = ?"


#: Of two who are to be alone in a thread, or to be kept within the limits of an owner, the second
#: looks when the first has been written: what is inserted takes the same lock, of the row that
#: counts it. A row that is there is only locked, since one that is written is a row more.
_LOCK_OWNER = """
    INSERT INTO owners AS one (owner, last, runs) SELECT ?, 0, 0
    WHERE NOT EXISTS (SELECT 1 FROM owners WHERE owner = ? FOR NO KEY UPDATE)
    ON CONFLICT (owner) DO UPDATE SET runs = one.runs
"""


class PostgresIndex(SqlIndex):
    """The run index; searches have connections of their own."""

    def __init__(
        self, reader: PostgresReader, writer: PostgresWriter, searcher: PostgresReader
    ) -> None:
        super().__init__(reader, writer)
        self._searcher = searcher

    async def search(self, owner: str, search: Search) -> Found:
        return await look_up(self._searcher, owner, search)

    async def check(self) -> None:
        """As `Check` has it."""
        await self._writer.write(("UPDATE probe SET at = ? WHERE id = 1", (time.time(),)))
        await self._reader.execute_fetchall("SELECT run_id FROM runs ORDER BY number LIMIT 1")

    async def note_learned(self, run_id: str, learned: Learned) -> None:
        with without_lease():  # the run waits by then, and nobody has it
            await super().note_learned(run_id, learned)

    def _before_condition(self, row: RunRow, quota: Quota = NO_QUOTA) -> Sequence[Statement]:
        if not row.alone and quota == NO_QUOTA:
            return ()
        return [(_LOCK_OWNER, (row.owner, row.owner))]

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        return inserting(row, condition, bounds, {"words": row_of_words(row.prompt)})


async def look_up(reader: PostgresReader, owner: str, search: Search) -> Found:
    """The runs of an owner that match, a page of them.

    Raises `SearchTooLarge` where a page in this order takes too long.
    """
    sought = [words_of(term) for term in terms(search.text)] if search.text is not None else None
    known = [*await reader.execute_fetchall(_ORDINAL, (owner,))]
    if not known or sought == []:
        counts = None if sought is not None else dict.fromkeys(STATUSES, 0)
        return Found(rows=[], matching=0, counts=counts, after=None)
    base = int(known[0][0]) * NUMBERS
    if search.after is not None:
        number = min(search.after.number, NUMBERS) + base
        search = replace(search, after=replace(search.after, number=number))
    words, values = _having(sought)
    held, given = conditions(search)
    among = f"FROM runs WHERE owner = ?{held}{words}", [owner, *given, *values]
    try:
        places, rows = await _page(reader, search, among)
    except psycopg.errors.QueryCanceled:
        if search.sort == "time":
            raise
        raise SearchTooLarge(search.sort) from None
    try:
        matching, by_status = await _count(reader, search, among)
        complete = True
    except psycopg.errors.QueryCanceled:
        matching, by_status, complete = len(rows), None, False
        if search.text is None:
            by_status = dict.fromkeys(STATUSES, 0)
    after = places[search.limit - 1] if len(places) > search.limit else None
    return Found(
        rows=[row_of(row) for row in rows[: search.limit]],
        matching=matching,
        counts=by_status,
        after=after and replace(after, number=after.number - base),
        complete=complete,
    )


async def _page(
    reader: PostgresReader, search: Search, among: Condition
) -> tuple[list[Position], list[Sequence[Any]]]:
    """The places and rows of one page and one more."""
    source, values = among
    key = KEYS[search.sort]
    status, statuses = of_status(search)
    begin, begun = beginning(search, key)
    found = await reader.execute_fetchall(
        f"SELECT {key} AS key, number, {COLUMNS} {source}{status}{begin}"
        f" ORDER BY {ordering(search)} LIMIT ?",
        (*values, *statuses, *begun, search.limit + 1),
    )
    places = [Position(key=row[0], number=row[1]) for row in found]
    return places, [row[2:] for row in found]


async def _count(
    reader: PostgresReader, search: Search, among: Condition
) -> tuple[int, Mapping[Status, int] | None]:
    """How many match, and without words how many of each status, up to one more than the bound."""
    source, values = among
    if search.text is not None:
        status, statuses = of_status(search)
        bound = bounds.MOST_COUNTED_BY_WORDS + 1
        counting = f"SELECT count(*) FROM (SELECT 1 {source}{status} LIMIT {bound}) AS counted"  # noqa: S608 - constants only
        [(count,)] = await reader.execute_fetchall(counting, (*values, *statuses))
        return int(count), None
    bound = bounds.MOST_COUNTED + 1
    parts = " UNION ALL ".join(
        f"SELECT '{one}', count(*) FROM"  # noqa: S608 - constants only
        f" (SELECT 1 {source} AND status = '{one}' LIMIT {bound}) AS counted"
        for one in STATUSES
    )
    rows = await reader.execute_fetchall(parts, values * len(STATUSES))
    counts: dict[Status, int] = dict(rows)
    return sum(counts[status] for status in search.statuses or STATUSES), counts


def _having(sought: Sequence[Sequence[str]] | None) -> Condition:
    """That a prompt has the words of each term, in a row."""
    if sought is None:
        return "", []
    single = sorted({word[:LONGEST_WORD] for words in sought for word in words})
    rows = [f" {' '.join(words)} " for words in sought]
    held = f" AND words_of(words) @> ARRAY[{', '.join('?' * len(single))}]"
    return held + " AND instr(words, ?) > 0" * len(rows), [*single, *rows]


# The words of a text as SQLite's full-text search reads them (`unicode61`, no diacritics).


#: As much of a word as the index has.
LONGEST_WORD = 64

_PLAIN = re.compile(r"[0-9a-z]+")


def row_of_words(text: str) -> str:
    """The words of a prompt, each between blanks, in their order."""
    return f" {' '.join(words_of(text))} "


def words_of(text: str) -> list[str]:
    """The words of a text in their order, without regard to case, width and accents."""
    plain = searchable(text)
    return _PLAIN.findall(plain) if plain.isascii() else list(_words(plain))


def _words(plain: str) -> Iterator[str]:
    word = ""
    for character in plain:
        bare = _bare(character)
        if bare is None:
            continue
        if is_of_word(bare):
            word += bare
        elif word:
            yield word
            word = ""
    if word:
        yield word


@lru_cache(maxsize=10_000)
def _bare(character: str) -> str | None:
    """A Latin letter without its accents, None for an accent, and all else as it is."""
    if "\u0300" <= character <= "\u036f":
        return None
    first = unicodedata.normalize("NFD", character)[:1]
    return first if first.isascii() and first.isalpha() else character
