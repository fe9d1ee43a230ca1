"""Searching runs on SQLite: one index that covers all filters, and a full-text one of prompts.

Each row has a `number` of acceptance, which both go by: rowids may change when a file is compacted.
"""

from collections.abc import Mapping

import aiosqlite

from graph.state import Status
from graph.state.status import STATUSES
from graph.storage.search import (
    MOST_COUNTED,
    MOST_COUNTED_BY_WORDS,
    Position,
    Search,
    full_text_query,
)
from graph.storage.sqlite.filters import (
    KEYS,
    Condition,
    beginning,
    conditions,
    of_status,
    ordering,
    walk,
)


async def look_up(
    connection: aiosqlite.Connection, owner: str, search: Search
) -> tuple[list[Position], int, Mapping[Status, int] | None]:
    """The places of one page and one more, how many match, and of how many each status.

    Each count goes up to one more than its bound; there is none by status where words are sought.
    """
    if search.text is not None:
        return await _look_up_words(connection, owner, search)
    places, counts = await walk(connection, owner, search), dict.fromkeys(STATUSES, 0)
    statement = _by_status(owner, search, paged=places is not None)
    places = places or []
    for status, key, number in await connection.execute_fetchall(*statement):
        if status is None:
            places.append(Position(key=key, number=number))
        else:
            counts[status] = number
    return places, sum(counts[status] for status in search.statuses or STATUSES), counts


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


async def _look_up_words(
    connection: aiosqlite.Connection, owner: str, search: Search
) -> tuple[list[Position], int, None]:
    sought = full_text_query(search.text or "")
    if sought is None:
        return [], 0, None
    (_, matching), *places = await connection.execute_fetchall(*_by_words(sought, owner, search))
    return [Position(key=key, number=number) for key, number in places], matching, None


def _by_words(sought: str, owner: str, search: Search) -> Condition:
    """How many match, and a page: both go through what has the words only until they have enough.

    Full-text search gives runs in the order of their numbers; by another order all are sorted.
    """
    condition, values = conditions(search)
    status, statuses = of_status(search)
    found = (
        f"SELECT {KEYS[search.sort]} AS key, runs_text.rowid AS number"  # noqa: S608 - constants only
        " FROM runs_text CROSS JOIN runs INDEXED BY runs_number ON runs.number = runs_text.rowid"
        f" WHERE runs_text MATCH ? AND owner = ?{condition}{status}"
    )
    given = [sought, owner, *values, *statuses]
    begin, begun = beginning(search, "key")
    statement = (
        f"SELECT NULL, count(*) FROM (SELECT 1 FROM ({found}) LIMIT {MOST_COUNTED_BY_WORDS + 1})"  # noqa: S608 - constants only
        f" UNION ALL SELECT key, number FROM (SELECT key, number FROM ({found}) WHERE 1{begin}"
        f" ORDER BY {ordering(search)} LIMIT ?)"
    )
    return statement, [*given, *given, *begun, search.limit + 1]
