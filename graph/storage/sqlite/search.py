"""Searching runs on SQLite: one index that covers all filters, and a full-text one of prompts.

Each row has a `number` of acceptance, which both go by: rowids may change when a file is compacted.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import aiosqlite

from graph.state import Status
from graph.state.status import STATUSES
from graph.storage.search import MOST_COUNTED, Position, Search, full_text_query, sort_key
from graph.storage.sqlite.filters import KEYS, Condition, beginning, conditions, ordering, walk


async def look_up(
    connection: aiosqlite.Connection, owner: str, search: Search
) -> tuple[list[Position], dict[Status, int]]:
    """The places of one page and one more, and the count of each status up to one more."""
    if search.text is not None:
        gathered = await look_up_words(connection, owner, search)
    else:
        gathered = Gathered(search)
        gathered.page(await walk(connection, owner, search))
        statement = _by_status(owner, search, paged=gathered.paged)
        gathered.add(await connection.execute_fetchall(*statement))  # type: ignore[arg-type]
    return gathered.places, gathered.counts


def _by_status(owner: str, search: Search, *, paged: bool) -> Condition:
    """Each status by itself, in the order of acceptance: that is the order of the index.

    The parts of a page, unless it is there, are merged, and no status is counted beyond what is
    told.
    """
    condition, values = conditions(search)
    counted = " UNION ALL ".join(
        f"SELECT '{status}' AS status, NULL AS key, count(*) AS number FROM"  # noqa: S608 - constants only
        " (SELECT 1 FROM runs INDEXED BY runs_facts"
        f" WHERE owner = ? AND status = '{status}'{condition} LIMIT {MOST_COUNTED + 1})"
        for status in STATUSES
    )
    given = [owner, *values] * len(STATUSES)
    if paged:
        return counted, given
    begin, begun = beginning(search, KEYS[search.sort])
    statuses = search.statuses or STATUSES
    merged = " UNION ALL ".join(
        f"SELECT {KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_facts"  # noqa: S608 - constants only
        f" WHERE owner = ? AND status = '{status}'{condition}{begin}"
        for status in statuses
    )
    page = f"SELECT NULL, key, number FROM ({merged} ORDER BY {ordering(search)} LIMIT ?)"  # noqa: S608 - constants only
    given += [owner, *values, *begun] * len(statuses)
    return f"{counted} UNION ALL {page}", [*given, search.limit + 1]


# Searching the words of prompts on SQLite: what has them is gone through window by window.
#
# The full-text index tells runs only by their number, so the rest is looked up in the index of
# facts. A window is a range of numbers with as many prompts that have the words. In those that
# follow, a status that is counted to the bound already is left out, unless its runs may still be of
# the page. Each run is of one window, so that none is counted twice when its status changes
# meanwhile.


#: With no more runs than this with the words, each is looked up by itself, which costs by their
#: number; else the index of facts is read through, which costs by the number of all runs.
FEW = 4_000

#: Runs with the words in the first window, in which a status that most runs have is counted to the
#: bound. The next is as large as it takes, by what was seen, to count one more of them so far; when
#: that takes more than `GROWTH` times what was seen besides it, all that is left is one window.
WINDOW, GROWTH = 12_000, 4

#: The first and the last number of a window.
Window = tuple[int, int]

#: No number of a run is beyond these.
LEAST, MOST = 0, 2**53


@dataclass
class Gathered:
    """What has been found so far: one page and one more, and the count of each status.

    `seen` is how many runs with the words were looked at, `paged` whether none that are left can be
    of the page.
    """

    search: Search
    places: list[Position] = field(default_factory=list)
    counts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    seen: int = 0
    paged: bool = False

    def page(self, places: list[Position] | None) -> None:
        """Take a whole page, unless there is none."""
        if places is not None:
            self.places, self.paged = places, True

    def add(self, rows: Iterable[tuple[Status | None, float | None, int]]) -> None:
        """Take counts, which have a status, and places, which have none."""
        for status, key, number in rows:
            if status is None:
                self.places.append(Position(key=key, number=number))
            else:
                self.counts[status] = min(self.counts[status] + number, MOST_COUNTED + 1)
        self.places.sort(key=lambda place: sort_key(place, self.search))
        del self.places[self.search.limit + 1 :]
        if self.search.sort == "time" and self.last:
            self.paged = True  # what follows in the order of the windows comes after the page

    @property
    def uncounted(self) -> list[Status]:
        """The statuses of which the count is not known to be beyond the bound."""
        return [status for status in STATUSES if self.counts[status] <= MOST_COUNTED]

    @property
    def wanted(self) -> list[Status]:
        """Whose runs are still to be looked at: to be counted, or they may be of the page."""
        asked: Collection[Status] = () if self.paged else self.search.statuses or STATUSES
        return [status for status in STATUSES if status in (*self.uncounted, *asked)]

    @property
    def last(self) -> Position | None:
        """The last place when there are enough: what comes after it is not of the page."""
        return self.places[-1] if len(self.places) > self.search.limit else None

    def next_window(self) -> int | None:
        """How many runs with the words to look at next; None for all that are left."""
        if not self.seen:
            return WINDOW
        most = max((self.counts[status] for status in self.uncounted), default=0)
        if most * (GROWTH + 1) < MOST_COUNTED:
            return None
        return 1 + int(1.25 * self.seen * (MOST_COUNTED + 1) / most) - self.seen


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
    gathered.page(await walk(connection, owner, search, sought))
    await _go_through(connection, sought, owner, gathered)
    return gathered


async def _go_through(
    connection: aiosqlite.Connection, sought: str, owner: str, gathered: Gathered
) -> None:
    first, last, descending = LEAST, MOST, gathered.search.descending
    while gathered.wanted:
        size = gathered.next_window()
        end = size and await _end(connection, sought, (first, last), descending, size)
        window = (first, last) if end is None else (end, last) if descending else (first, end)
        statement = _within(window, sought, owner, gathered)
        gathered.add(await connection.execute_fetchall(*statement))  # type: ignore[arg-type]
        if size is None or end is None:
            break
        gathered.seen += size
        first, last = (first, end - 1) if descending else (end + 1, last)


async def _end(
    connection: aiosqlite.Connection, sought: str, left: Window, descending: bool, size: int
) -> int | None:
    """The number of the last run of a window of what is left; None when it has no more."""
    query = (
        "SELECT rowid FROM runs_text WHERE runs_text MATCH ? AND rowid BETWEEN ? AND ?"  # noqa: S608 - constants only
        f" ORDER BY rowid {'DESC' if descending else 'ASC'} LIMIT 1 OFFSET {size - 1}"
    )
    found = [*await connection.execute_fetchall(query, (sought, *left))]
    return found[0][0] if found else None


def _each_by_itself(sought: str, owner: str, search: Search) -> Condition:
    condition, values = conditions(search)
    found = (
        f"SELECT status, {KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_number"  # noqa: S608 - constants only
        " WHERE number IN (SELECT rowid FROM runs_text WHERE runs_text MATCH ?)"
        f" AND owner = ?{condition}"
    )
    return _found(found, [sought, owner, *values], search, STATUSES)


def _within(window: Window, sought: str, owner: str, gathered: Gathered) -> Condition:
    """The counts and places of one window."""
    search = gathered.search
    condition, values = conditions(search)
    before, least = _before(gathered)
    found = (
        f"SELECT status, {KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_facts"  # noqa: S608 - constants only
        f" WHERE owner = ? AND status IN ({_listed(gathered.wanted)}) AND number BETWEEN ? AND ?"
        f"{condition}{before}"
        " AND +number IN"
        " (SELECT rowid FROM runs_text WHERE runs_text MATCH ? AND rowid BETWEEN ? AND ?)"
    )
    given = [owner, *window, *values, *least, sought, *window]
    if gathered.paged:
        return f"SELECT status, NULL, count(*) FROM ({found}) GROUP BY status", given  # noqa: S608 - constants only
    return _found(found, given, search, gathered.uncounted)


def _before(gathered: Gathered) -> Condition:
    """Of runs that need not be counted, only those that may come before the last of the page."""
    search, last = gathered.search, gathered.last
    counted = [status for status in gathered.wanted if status not in gathered.uncounted]
    if not counted:
        return "", []
    key, direction = KEYS[search.sort], ">" if search.descending else "<"
    condition, values = beginning(search, key)
    if last is not None and last.key is None:
        condition += f" AND ({key} IS NOT NULL OR number {direction} ?)"
        values = [*values, last.number]
    elif last is not None:
        condition += f" AND ({key}, number) {direction} (?, ?)"
        values = [*values, last.key, last.number]
    return f" AND (status NOT IN ({_listed(counted)}) OR 1{condition})", values


def _found(
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
