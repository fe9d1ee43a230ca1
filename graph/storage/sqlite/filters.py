"""What a search asks, as SQL over the columns of the run index."""

import json
from typing import Any

import aiosqlite

from graph.storage.search import Position, Search

#: What each order sorts by before the number.
KEYS = {"time": "NULL", "duration": "duration", "cost": "usd"}

_FILTERS = (
    ("tool", "instr(tools, ?) > 0"),
    ("planner", "planner = ?"),
    ("model", "model = ?"),
    ("created_from", "created_at >= ?"),
    ("created_before", "created_at < ?"),
    ("min_usd", "usd >= ?"),
    ("max_usd", "usd <= ?"),
    ("min_retries", "retries >= ?"),
    ("max_retries", "retries <= ?"),
    ("taken_up", "(taken_up > 0) = ?"),
)

Condition = tuple[str, list[Any]]


def conditions(search: Search) -> Condition:
    """What holds for the runs sought, but for their status and words."""
    given = [(sql, getattr(search, name)) for name, sql in _FILTERS]
    present = [(sql, value) for sql, value in given if value is not None]
    values = [json.dumps(search.tool) if "tools" in sql else value for sql, value in present]
    return "".join(f" AND {sql}" for sql, _ in present), values


def beginning(search: Search, column: str) -> Condition:
    """What comes after the position that the search goes on from."""
    if search.after is None:
        return "", []
    direction, key, number = (
        "<" if search.descending else ">",
        search.after.key,
        search.after.number,
    )
    if key is None:
        unknown = "" if search.sort == "time" else f" AND {column} IS NULL"
        return f"{unknown} AND number {direction} ?", [number]
    return f" AND ({column} IS NULL OR ({column}, number) {direction} (?, ?))", [key, number]


def ordering(search: Search) -> str:
    """The order of a page."""
    direction = "DESC" if search.descending else "ASC"
    return (
        f"number {direction}"
        if search.sort == "time"
        else f"key {direction} NULLS LAST, number {direction}"
    )


# A page of runs on SQLite, walked to in its order while it is near.
#
# Most pages are full after a few steps. Where hardly any of the runs that come first are sought, a
# walk would go through all of them, each looked up by itself: it ends early, and the page is looked
# for otherwise.


_INDEXES = {"duration": "runs_by_duration", "cost": "runs_by_cost"}

#: Steps after which it is seen whether the page is near, and the most that are taken to it. One at
#: which words are looked for takes as long as a hundred runs do when all are gone through.
FIRST, STEPS = 30, 300


#: What is asked about, without the prompt: that may be long.
_ASKED = "number, status, created_at, planner, model, tools, usd, retries, taken_up, duration"


async def walk(
    connection: aiosqlite.Connection, owner: str, search: Search, sought: str | None = None
) -> list[Position] | None:
    """The places of one page and one more; None when they are not near, or not to be walked to.

    With `sought` only runs whose prompt that full-text query finds.
    """
    unsorted = search.sort == "time" and sought is None
    unknown = search.sort != "time" and search.after is not None and search.after.key is None
    if unsorted or unknown:
        return None
    for steps in (FIRST, STEPS):
        rows = await connection.execute_fetchall(*_path(owner, search, sought, steps))
        places = [Position(key=key, number=number) for key, number in rows]
        if len(places) > search.limit:
            return places
        if len(places) * STEPS < search.limit * steps:  # too far, at this rate
            break
    return None


def _path(owner: str, search: Search, sought: str | None, steps: int) -> Condition:
    """So many steps from where the page begins, and of these the runs that are sought."""
    if search.sort == "time":
        path, given = _by_number(owner, search, sought, steps)
    else:
        path, given = _by_key(owner, search, sought, steps)
    condition, values = conditions(search)
    if search.statuses:
        condition += f" AND status IN ({', '.join('?' * len(search.statuses))})"
        values = [*values, *search.statuses]
    return f"{path}{condition} LIMIT ?", [*given, *values, search.limit + 1]


def _by_number(owner: str, search: Search, sought: str | None, steps: int) -> Condition:
    """Through what has the words, in the order of acceptance."""
    direction, beyond = _directions(search)
    begin, begun = "", list[Any]()
    if search.after is not None:
        begin, begun = f" AND rowid {beyond} ?", [search.after.number]
    path = (
        "SELECT NULL, number FROM (SELECT rowid AS place FROM runs_text"  # noqa: S608 - constants only
        f" WHERE runs_text MATCH ?{begin} ORDER BY rowid {direction} LIMIT ?)"
        " CROSS JOIN runs INDEXED BY runs_number ON number = place WHERE owner = ?"
    )
    return path, [sought, *begun, steps, owner]


def _by_key(owner: str, search: Search, sought: str | None, steps: int) -> Condition:
    """Through the owner's runs, in the order of their duration or cost."""
    key, (direction, beyond) = KEYS[search.sort], _directions(search)
    begin, begun = "", list[Any]()
    if search.after is not None:
        begin = f" AND ({key}, number) {beyond} (?, ?)"
        begun = [search.after.key, search.after.number]
    path = (
        f"SELECT {key}, number FROM"  # noqa: S608 - constants only
        f" (SELECT {_ASKED} FROM runs INDEXED BY {_INDEXES[search.sort]}"
        f" WHERE owner = ? AND {key} IS NOT NULL{begin}"
        f" ORDER BY {key} {direction}, number {direction} LIMIT ?)"
    )
    if sought is None:
        return f"{path} WHERE 1", [owner, *begun, steps]
    probe = "EXISTS (SELECT 1 FROM runs_text WHERE runs_text MATCH ? AND rowid = number)"
    return f"{path} WHERE {probe}", [owner, *begun, steps, sought]


def _directions(search: Search) -> tuple[str, str]:
    return ("DESC", "<") if search.descending else ("ASC", ">")
