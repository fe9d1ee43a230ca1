"""The run index on SQLite: its versions, and its search.

One index covers all filters, and a full-text one has the words of prompts. Each row has a `number`,
which both go by: rowids may change when a file is compacted. Those of one owner lie together in the
order of acceptance, so that others' runs are not come by. They are looked through part by part, as
far as a search may go, and others are let in between.

A page is first walked to in its order while it is near: most are full after a few steps. Where
hardly any of the runs that come first are sought, a walk would go through all of them, each looked
up by itself: it ends early, and the page is looked for otherwise.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiosqlite

from graph.state import Status
from graph.state.status import STATUSES
from graph.storage.search import (
    MOST_COUNTED,
    MOST_COUNTED_BY_WORDS,
    Found,
    Position,
    Search,
    SearchTooLarge,
    full_text_query,
    sort_key,
)
from graph.storage.sql.bookkeeping import BYTES
from graph.storage.sql.index import COLUMNS, SqlIndex, row_of
from graph.storage.sql.statements import (
    KEYS,
    NUMBERS,
    Condition,
    beginning,
    conditions,
    of_status,
    ordering,
)
from graph.storage.sqlite.connections import SqliteWriter
from graph.storage.sqlite.maintenance import Rows, Searcher
from graph.storage.sqlite.schema import MIGRATIONS, VERSION

_INDEXES = {"duration": "runs_by_duration", "cost": "runs_by_cost"}

#: Steps after which it is seen whether the page is near, and the most that are taken to it.
FIRST, STEPS = 30, 300


#: What is asked about, without the prompt: that may be long.
_ASKED = (
    "number, status, created_at, planner, model, tools, usd, retries, taken_up, duration, metadata,"
    " rounds, thread_id"
)


async def walk(searcher: Searcher, owner: str, search: Search) -> list[Position] | None:
    """The places of one page and one more; None when they are not near, or not to be walked to."""
    if search.sort == "time" or (search.after is not None and search.after.key is None):
        return None
    for steps in (FIRST, STEPS):
        rows = await searcher.fetch(owner, *_path(owner, search, steps))
        places = [Position(key=key, number=number) for key, number in rows]
        if len(places) > search.limit:
            return places
        if len(places) * STEPS < search.limit * steps:  # too far, at this rate
            break
    return None


def _path(owner: str, search: Search, steps: int) -> Condition:
    """So many steps from where the page begins, and of these the runs that are sought."""
    key = KEYS[search.sort]
    direction, beyond = ("DESC", "<") if search.descending else ("ASC", ">")
    begin, begun = "", list[Any]()
    if search.after is not None:
        begin = f" AND ({key}, number) {beyond} (?, ?)"
        begun = [search.after.key, search.after.number]
    condition, values = conditions(search)
    status, statuses = of_status(search)
    path = (
        f"SELECT {key}, number FROM"  # noqa: S608 - constants only
        f" (SELECT {_ASKED} FROM runs INDEXED BY {_INDEXES[search.sort]}"
        f" WHERE owner = ? AND {key} IS NOT NULL{begin}"
        f" ORDER BY {key} {direction}, number {direction} LIMIT ?)"
        f" WHERE 1{condition}{status} LIMIT ?"
    )
    return path, [owner, *begun, steps, *values, *statuses, search.limit + 1]


@dataclass(frozen=True)
class ReadBudget:
    """How a search goes through an owner's runs: `first` numbers at once to begin with.

    A part may take `most` times `every` steps, or it is ended and read anew as smaller ones; all
    together may take about `budget` steps.
    """

    first: int
    every: int
    most: int
    budget: int


#: Each part takes some milliseconds; by words up to some fifty of them where others wait.
BY_FACTS = ReadBudget(first=16_384, every=50_000, most=8, budget=50_000_000)
BY_WORDS = ReadBudget(first=2_048, every=5_000, most=16, budget=4_000_000)

#: A text of more words than this is looked for in fewer runs, since each of them is looked up.
FEW_WORDS = 12

#: What the runs with the words are counted under.
_ANY = "any"


@dataclass
class Looked:
    """What a search has come by: the places of one page and one more, and how many match.

    Each count goes up to one more than its bound; by status where no words are sought. A page that
    was not looked for to its end continues after `reached`. Not `complete`, counts may be too low.
    """

    places: list[Position] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    reached: Position | None = None

    def matching(self, search: Search) -> int:
        """How many match."""
        if search.text is not None:
            return sum(self.counts.values())
        return sum(self.counts[status] for status in search.statuses or STATUSES)

    def by_status(self, search: Search) -> Mapping[Status, int] | None:
        """How many match by status, whichever are sought; None where words are."""
        if search.text is not None:
            return None
        return {status: self.counts[status] for status in STATUSES}


async def look_up(searcher: Searcher, owner: str, search: Search) -> tuple[Looked, int]:
    """What is found of one page, and what the numbers in it are counted from.

    Raises `SearchTooLarge` where a page cannot be told before all is looked through.
    """
    looked = Looked(counts=dict.fromkeys(STATUSES if search.text is None else (_ANY,), 0))
    query = None if search.text is None else full_text_query(search.text)
    known = await searcher.fetch(owner, _OWNER, (owner,))
    if not known or (search.text is not None and query is None):
        return looked, 0
    [(ordinal, last)] = known
    base = ordinal * NUMBERS
    if search.after is not None:
        search = replace(
            search, after=replace(search.after, number=min(search.after.number, NUMBERS) + base)
        )
    walked = await walk(searcher, owner, search) if query is None else None
    looked.places = walked or []
    spans = _spans(search, base + 1, base + last, paged=walked is None)
    await _Lookup(searcher, owner, search, query, looked).go(spans)
    if looked.reached is not None and search.sort != "time":
        raise SearchTooLarge(search.sort)
    return looked, base


_OWNER = "SELECT ordinal, last FROM owners WHERE owner = ?"


@dataclass(frozen=True)
class _Span:
    """Numbers from `low` to `high`, whose runs are counted and, if `paged`, may be on the page."""

    low: int
    high: int
    paged: bool


def _spans(search: Search, low: int, high: int, *, paged: bool) -> Iterator[_Span]:
    """The numbers of an owner in two spans at most, the one that has the page first."""
    if search.sort != "time" or search.after is None:
        yield _Span(low, high, paged)
    elif search.descending:
        yield _Span(low, min(high, search.after.number - 1), paged)
        yield _Span(max(low, search.after.number), high, paged=False)
    else:
        yield _Span(max(low, search.after.number + 1), high, paged)
        yield _Span(low, min(high, search.after.number), paged=False)


class _Lookup:
    """One search on its way through an owner's runs."""

    def __init__(
        self, searcher: Searcher, owner: str, search: Search, query: str | None, looked: Looked
    ) -> None:
        self._searcher, self._owner, self._search = searcher, owner, search
        self._query, self._looked = query, looked
        self._bounds = BY_FACTS if query is None else BY_WORDS
        words = len(re.findall(r"\w+", query or ""))
        share = min(1.0, FEW_WORDS / max(1, words))
        self._left = int(self._bounds.budget * max(0.1, share))
        self._bound = MOST_COUNTED if query is None else MOST_COUNTED_BY_WORDS
        self._size = max(1, int(self._bounds.first * share * share))

    async def go(self, spans: Iterator[_Span]) -> None:
        """Look through the spans until everything is known, or the budget is used up."""
        for span in spans:
            low, high = span.low, span.high
            while low <= high and ((span.paged and not self._is_full()) or self._counting()):
                begun = (low, high) != (span.low, span.high)
                # The page continues at least, so that who asks for the next ones comes to an end.
                if self._left <= 0 and (begun or not span.paged):
                    self._looked.complete = False
                    if span.paged and not self._is_full():
                        number = high + 1 if self._search.descending else low - 1
                        self._looked.reached = Position(key=None, number=number)
                    return
                if self._search.descending:
                    first, last = max(low, high - self._size + 1), high
                else:
                    first, last = low, min(high, low + self._size - 1)
                if await self._look_through(_Span(first, last, span.paged)):
                    low, high = (low, first - 1) if self._search.descending else (last + 1, high)

    async def _look_through(self, part: _Span) -> bool:
        """Whether the part was looked through; it may be too large for one."""
        every = self._bounds.every
        most = self._bounds.most if part.low < part.high else None
        sql, values = self._statement(part)
        rows, steps = await self._searcher.read(self._owner, sql, values, every=every, most=most)
        self._left -= steps
        if rows is None:
            self._size = max(1, (part.high - part.low + 1) // 8)
            return False
        self._take(rows)
        if steps == 0:
            self._size *= 4
        elif steps > every * self._bounds.most // 2:
            self._size = max(1, self._size // 2)
        return True

    def _take(self, rows: Rows) -> None:
        places = self._looked.places
        for counted, key, number in rows:
            if counted is None:
                places.append(Position(key=key, number=number))
            else:
                self._looked.counts[counted] += number
        places.sort(key=lambda place: sort_key(place, self._search))
        del places[self._search.limit + 1 :]

    def _is_full(self) -> bool:
        """Whether no run further on can be on the page."""
        return self._search.sort == "time" and len(self._looked.places) > self._search.limit

    def _counting(self) -> Sequence[str]:
        """What is still counted."""
        return [what for what, count in self._looked.counts.items() if count <= self._bound]

    def _statement(self, part: _Span) -> Condition:
        paged = part.paged and not self._is_full()
        if self._query is None:
            return self._by_status(part, paged=paged)
        return self._by_words(part, self._query, paged=paged)

    def _by_status(self, part: _Span, *, paged: bool) -> Condition:
        """Each status by itself, in the order of acceptance: that is the order of the index.

        The parts of a page are merged, and no status is counted beyond what is told.
        """
        search, within = self._search, [self._owner, part.low, part.high]
        condition, values = conditions(search)
        source = (
            f"FROM runs INDEXED BY {'runs_facts' if search.thread_id is None else 'runs_in_thread'}"
            " WHERE owner = ? AND number BETWEEN ? AND ? AND status = '{}'" + condition
        )
        parts, given = [], []
        for status in self._counting():
            left = self._bound + 1 - self._looked.counts[status]
            parts.append(
                f"SELECT '{status}' AS counted, NULL AS key, count(*) AS number"  # noqa: S608 - constants only
                f" FROM (SELECT 1 {source.format(status)} LIMIT {left})"
            )
            given += [*within, *values]
        if paged:
            begin, begun = beginning(search, KEYS[search.sort])
            merged = " UNION ALL ".join(
                f"SELECT {KEYS[search.sort]} AS key, number {source.format(status)}{begin}"
                for status in search.statuses or STATUSES
            )
            parts.append(
                f"SELECT NULL, key, number FROM ({merged} ORDER BY {ordering(search)} LIMIT ?)"  # noqa: S608 - constants only
            )
            given += [*within, *values, *begun] * len(search.statuses or STATUSES)
            given.append(search.limit + 1)
        return " UNION ALL ".join(parts), given

    def _by_words(self, part: _Span, query: str, *, paged: bool) -> Condition:
        """How many match, and a page: both go through what has the words only until they have
        enough.

        Full-text search gives runs in the order of their numbers; by another order all are sorted.
        """
        search = self._search
        condition, values = conditions(search)
        status, statuses = of_status(search)
        found = (
            f"SELECT {KEYS[search.sort]} AS key, runs_text.rowid AS number"  # noqa: S608 - constants only
            " FROM runs_text CROSS JOIN runs INDEXED BY runs_number"
            " ON runs.number = runs_text.rowid"
            " WHERE runs_text MATCH ? AND runs_text.rowid BETWEEN ? AND ?"
            f" AND owner = ?{condition}{status}"
        )
        within = [query, part.low, part.high, self._owner, *values, *statuses]
        parts, given = [], []
        if self._counting():
            left = self._bound + 1 - self._looked.counts[_ANY]
            parts.append(
                f"SELECT '{_ANY}', NULL, count(*) FROM (SELECT 1 FROM ({found}) LIMIT {left})"  # noqa: S608 - constants only
            )
            given += within
        if paged:
            begin, begun = beginning(search, "key")
            parts.append(
                "SELECT NULL, key, number FROM"  # noqa: S608 - constants only
                f" (SELECT key, number FROM ({found}) WHERE 1{begin}"
                f" ORDER BY {ordering(search)} LIMIT ?)"
            )
            given += [*within, *begun, search.limit + 1]
        return " UNION ALL ".join(parts), given


class SqliteIndex(SqlIndex):
    """The index in the file that holds the checkpoints."""

    def __init__(
        self,
        reader: aiosqlite.Connection,
        writer: SqliteWriter,
        searcher: Searcher,
    ) -> None:
        super().__init__(reader, writer)
        self._searcher = searcher  # its own, so that no search holds up who reads one run

    async def migrate(self) -> bool:
        """Bring the tables to this program's version, in one transaction; whether it had to."""
        [(present,)] = await self._reader.execute_fetchall("PRAGMA user_version")
        if present < VERSION:
            missing = [statement for step in MIGRATIONS[present:] for statement in step]
            version = f"PRAGMA user_version = {VERSION}"
            await self._writer.write(*((one, ()) for one in [*missing, version]), durable=True)
        await self.open()
        return bool(present < VERSION)

    async def count_bytes(self) -> None:
        """Count what is kept of runs of which an earlier version did not."""
        update = f"UPDATE runs SET bytes = {BYTES} WHERE bytes IS NULL"  # noqa: S608 - constants only
        await self._writer.write((update, ()))

    async def search(self, owner: str, search: Search) -> Found:
        looked, base = await look_up(self._searcher, owner, search)
        places = looked.places
        page = [place.number for place in places[: search.limit]]
        found = await self._searcher.fetch(
            owner,
            f"SELECT number, {COLUMNS} FROM runs WHERE number IN ({', '.join('?' * len(page))})",  # noqa: S608 - constants only
            page,
        )
        rows = {number: row_of(row) for number, *row in found}
        after = places[len(page) - 1] if len(places) > len(page) else looked.reached
        return Found(
            rows=[rows[number] for number in page if number in rows],
            matching=looked.matching(search),
            counts=looked.by_status(search),
            after=after and replace(after, number=after.number - base),
            complete=looked.complete,
        )
