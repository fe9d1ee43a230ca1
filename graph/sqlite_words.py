"""Searching the words of prompts on SQLite: what has them is gone through window by window.

The full-text index tells runs only by their number, so the rest is looked up in the index of facts.
A window is a range of numbers with as many prompts that have the words. In those that follow, a
status that is counted to the bound already is left out, unless its runs may still be of the page.
Each run is of one window, so that none is counted twice when its status changes meanwhile.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import aiosqlite

from graph.search import MOST_COUNTED, STATUSES, Position, Search, order
from graph.sqlite_filters import KEYS, Condition, beginning, conditions, ordering
from graph.state import Status
from graph.words import full_text_query

#: With no more runs than this with the words, each is looked up by itself, which costs by their
#: number; else the index of facts is read through, which costs by the number of all runs.
FEW = 4_000

#: Runs with the words in the first window, in which a status that most runs have is counted to the
#: bound, and how many times as many are in the next: after that there is less to gather of each.
WINDOW, GROWTH = 12_000, 2


@dataclass
class Gathered:
    """What has been found so far: one page and one more, and the count of each status."""

    search: Search
    places: list[Position] = field(default_factory=list)
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))

    def add(self, rows: Iterable[tuple[Status | None, float | None, int]]) -> None:
        """Take counts, which have a status, and places, which have none."""
        for status, key, number in rows:
            if status is None:
                self.places.append(Position(key=key, number=number))
            else:
                self.counts[status] = min(self.counts[status] + number, MOST_COUNTED + 1)
        self.places.sort(key=lambda place: order(place, self.search))
        del self.places[self.search.limit + 1 :]

    @property
    def uncounted(self) -> list[Status]:
        """The statuses of which the count is not known to be beyond the bound."""
        return [status for status in STATUSES if self.counts[status] <= MOST_COUNTED]

    @property
    def last(self) -> Position | None:
        """The last place when there are enough: what comes after it is not of the page."""
        return self.places[-1] if len(self.places) > self.search.limit else None


async def look_up_words(connection: aiosqlite.Connection, owner: str, search: Search) -> Gathered:
    """The places of one page and one more, and the count of each status up to one more."""
    gathered = Gathered(search)
    sought = full_text_query(search.text or "")
    if sought is None:
        return gathered
    probe = "SELECT count(*) FROM (SELECT 1 FROM runs_text WHERE runs_text MATCH ? LIMIT ?)"
    [(number,)] = await connection.execute_fetchall(probe, (sought, FEW + 1))
    if number <= FEW:
        statement = _each_by_itself(sought, owner, search)
        gathered.add(await connection.execute_fetchall(*statement))  # type: ignore[arg-type]
        return gathered
    window, values, size = "", list[int](), WINDOW
    while _statuses(gathered):
        end = await _end(connection, sought, search, window, values, size)
        bounds = [(window, values)] + ([(_side(search, "<="), [end])] if end is not None else [])
        statement = _within(bounds, sought, owner, gathered)
        gathered.add(await connection.execute_fetchall(*statement))  # type: ignore[arg-type]
        if end is None:
            break
        window, values, size = _side(search, ">"), [end], size * GROWTH
    return gathered


def _side(search: Search, way: str) -> str:
    """The bound of a window, seen in the direction in which the windows follow each other."""
    flipped = {"<=": ">=", ">": "<"}[way] if search.descending else way
    return f" AND {{number}} {flipped} ?"


async def _end(
    connection: aiosqlite.Connection,
    sought: str,
    search: Search,
    window: str,
    values: list[int],
    size: int,
) -> int | None:
    """The number of the last run of the window that begins here; None when it has no more."""
    query = (
        "SELECT rowid FROM runs_text WHERE runs_text MATCH ?"  # noqa: S608 - constants only
        f"{window.format(number='rowid')}"
        f" ORDER BY rowid {'DESC' if search.descending else 'ASC'} LIMIT 1 OFFSET {size - 1}"
    )
    found = [*await connection.execute_fetchall(query, (sought, *values))]
    return found[0][0] if found else None


def _each_by_itself(sought: str, owner: str, search: Search) -> Condition:
    condition, values = conditions(search)
    found = (
        f"SELECT status, {KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_number"  # noqa: S608 - constants only
        " WHERE number IN (SELECT rowid FROM runs_text WHERE runs_text MATCH ?)"
        f" AND owner = ?{condition}"
    )
    return _told(found, [sought, owner, *values], search, STATUSES)


def _statuses(gathered: Gathered) -> list[Status]:
    """Whose runs are still to be looked at, to be counted or because they may be of the page."""
    wanted: Collection[Status] = gathered.search.statuses or STATUSES
    if gathered.search.sort == "time" and gathered.last:
        wanted = ()  # what follows in the order of the windows comes after the page
    return [status for status in STATUSES if status in (*gathered.uncounted, *wanted)]


def _within(
    bounds: list[tuple[str, list[int]]], sought: str, owner: str, gathered: Gathered
) -> Condition:
    """The counts and places of one window."""
    search, statuses = gathered.search, _statuses(gathered)
    condition, values = conditions(search)
    window = "".join(bound for bound, _ in bounds)
    bound = [value for _, given in bounds for value in given]
    before, least = _before(gathered)
    found = (
        f"SELECT status, {KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_facts"  # noqa: S608 - constants only
        f" WHERE owner = ? AND status IN ({_listed(statuses)}){window.format(number='number')}"
        f"{condition}{before}"
        " AND +number IN (SELECT rowid FROM runs_text WHERE runs_text MATCH ?"
        f"{window.format(number='rowid')})"
    )
    given = [owner, *bound, *values, *least, sought, *bound]
    return _told(found, given, search, gathered.uncounted)


def _before(gathered: Gathered) -> Condition:
    """Of runs that need not be counted, only those that may come before the last of the page."""
    search, last = gathered.search, gathered.last
    if gathered.uncounted == [*STATUSES]:
        return "", []
    key, way = KEYS[search.sort], ">" if search.descending else "<"
    condition, values = beginning(search, key)
    if last is not None and last.key is None:
        condition += f" AND ({key} IS NOT NULL OR number {way} ?)"
        values = [*values, last.number]
    elif last is not None:
        condition += f" AND ({key}, number) {way} (?, ?)"
        values = [*values, last.key, last.number]
    return f" AND (status IN ({_listed(gathered.uncounted)}) OR 1{condition})", values


def _told(
    found: str, values: list[object], search: Search, counted: Collection[Status]
) -> Condition:
    """What was found, counted by status and sorted; it is gathered once for both."""
    begin, begun = beginning(search, "key")
    asked = f" AND status IN ({_listed(search.statuses)})" if search.statuses else ""
    statement = (
        f"WITH found AS MATERIALIZED ({found})"  # noqa: S608 - constants only
        f" SELECT status, NULL, count(*) FROM found WHERE status IN ({_listed(counted)})"
        " GROUP BY status"
        " UNION ALL SELECT NULL, key, number FROM"
        f" (SELECT key, number FROM found WHERE 1{asked}{begin}"
        f" ORDER BY {ordering(search)} LIMIT ?)"
    )
    return statement, [*values, *begun, search.limit + 1]


def _listed(statuses: Collection[Status]) -> str:
    return ", ".join(f"'{status}'" for status in statuses)
