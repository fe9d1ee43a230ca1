"""The run index on Postgres; and index, outbox and store where many processes share them.

A search is one statement for the page, one for how many match. What it may take is bounded by time,
on connections of its own: who asks for too much is told so, and holds up nobody who reads one run.
"""

import re
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psycopg
from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp

from graph.state import Learned, Status
from graph.state.row import NO_QUOTA, Accepted, Quota, RunRow
from graph.state.status import STATUSES
from graph.state.wording import searchable
from graph.storage import search as bounds
from graph.storage.fleet import PostRefused, Tell, without_lease
from graph.storage.postgres.connection import PostgresReader
from graph.storage.postgres.jobs import OUTDATED, job_ordering, queueing
from graph.storage.postgres.notices import FULL, GRANTED, counting
from graph.storage.postgres.store import PostgresStore, text_of
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.search import Found, Position, Search, SearchTooLarge, is_of_word, terms
from graph.storage.sql.bookkeeping import SqlOutbox
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
from tools.receipts import MOST_KEPT, RECEIPTS, Full, Outdated

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


# What processes that share a database do otherwise.


def adding(prefix: str, most: int) -> Statement:
    """What fails where as many are in a namespace as may be; its version was noted before."""
    return "SELECT note_added(?, ?)", (prefix, most)


class SharedIndex(PostgresIndex):
    """The run index of many processes: what is accepted or ordered of a run brings its job along.

    Whether a run was forked is asked each time, since others may have done so. The starts of a run
    are the processes that died of it, maybe, where it is.
    """

    first_start = 0

    def __init__(
        self, reader: PostgresReader, writer: PostgresWriter, searcher: PostgresReader, tell: Tell
    ) -> None:
        super().__init__(reader, writer, searcher)
        self._tell, self._postgres = tell, writer

    async def _write_accepted(
        self, row: RunRow, quota: Quota, statements: Sequence[Statement]
    ) -> Accepted | None:
        counted = [counting(row.owner, quota.posts)] if quota.posts else []
        written = await self._postgres.write_each(*counted, *statements, durable=True)
        if counted and written[0].row:
            granted, posted = written[0].row
            if not granted:
                raise PostRefused(posted)
        if (stored := written[-1].row) is None:
            return None
        self._tell(row.run_id, "queued")
        return Accepted(*stored)

    async def forks(self, run_id: str) -> Sequence[str]:
        self._origins.add(run_id)
        try:
            return await super().forks(run_id)
        finally:
            self._origins.discard(run_id)

    async def _order(self, run_id: str, *statements: Statement) -> bool:
        ordered = await super()._order(run_id, job_ordering(run_id), *statements)
        if ordered:
            self._tell(run_id, "queued")
        return ordered

    def _room_for(self, row: RunRow, quota: Quota) -> tuple[str, tuple[Any, ...]]:
        room, bounds = super()._room_for(row, quota)
        return (room + GRANTED, (*bounds, row.owner)) if quota.posts else (room, bounds)

    def _before_condition(self, row: RunRow, quota: Quota = NO_QUOTA) -> Sequence[Statement]:
        return super()._before_condition(row, replace(quota, posts=0))

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        row = replace(row, starts=self.first_start)
        return [*super()._inserting(row, condition, bounds), queueing(row)]


#: How long a process has for what it took from the outbox before another one takes it, in seconds.
POSTING = 60.0

_CLAIM = "UPDATE outbox SET due = ? WHERE number = ? AND due <= ? AND NOT given_up"


class SharedOutbox(SqlOutbox):
    """The outbox of many processes: what one has taken the others leave alone for a while."""

    async def open(self) -> None:
        """Any of them may have tried something without success."""

    async def take(self, number: int, now: float) -> bool:
        return await self._writer.write((_CLAIM, (now + POSTING, number, now))) > 0


#: At which version what the effect of this context reads was before; its receipt is read first.
_seen: ContextVar[dict[str, int] | None] = ContextVar("seen", default=None)


class SharedStore(PostgresStore):
    """The store of many processes, in which no effect builds on what another one has changed since.

    An effect is what `tools.receipts.once` does: it reads its receipt, then what it needs, and puts
    what it changes together with the receipt. Of two that change one namespace the second to write
    is refused if it has read before the first one wrote.
    """

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `PostgresStore.abatch`. Raises `Outdated` and `Full` too."""
        try:
            return await super().abatch(ops)
        except psycopg.DatabaseError as error:
            if error.sqlstate == OUTDATED:
                raise Outdated from None
            if error.sqlstate == FULL:
                raise Full from None
            raise

    async def _read(self, op: Op) -> Result:
        match op:
            case GetOp() if op.namespace[0] == RECEIPTS:
                _seen.set({})
            case GetOp():
                await self._note(text_of(op.namespace))
            case SearchOp() if op.namespace_prefix:
                await self._note(text_of(op.namespace_prefix))
        return await super()._read(op)

    async def _note(self, prefix: str) -> None:
        seen = _seen.get()
        if seen is not None and prefix not in seen:
            rows = await self._reader.execute_fetchall(_VERSION, (prefix,))
            seen[prefix] = next((version for (version,) in rows), 0)

    def _written(self, puts: Sequence[PutOp]) -> Sequence[Statement]:
        written = super()._written(puts)
        changed = {text_of(one.namespace) for one in puts if one.namespace[0] != RECEIPTS}
        if not any(one.namespace[0] == RECEIPTS for one in puts):
            return written
        seen = _seen.get() or {}
        noted = [(_NOTE_WRITTEN, (one, seen.get(one))) for one in sorted(changed)]
        counted = [adding(one, most) for one in sorted(changed) if (most := MOST_KEPT.get())]
        return [*noted, *counted, *written]


_VERSION = "SELECT version FROM store_versions WHERE prefix = ?"

_NOTE_WRITTEN = "SELECT note_written(?, ?)"
