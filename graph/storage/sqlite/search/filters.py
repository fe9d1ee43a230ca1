"""What a search asks, as SQL over the columns of the run index."""

import json
from typing import Any

from graph.storage.search import Position, Search
from graph.storage.sqlite.search.searcher import Searcher

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
    ("min_rounds", "rounds >= ?"),
    ("max_rounds", "rounds <= ?"),
    ("taken_up", "(taken_up > 0) = ?"),
    ("thread_id", "thread_id = ?"),
)

Condition = tuple[str, list[Any]]


def conditions(search: Search) -> Condition:
    """What holds for the runs sought, but for their status and words."""
    given = [(sql, getattr(search, name)) for name, sql in _FILTERS]
    present = [(sql, value) for sql, value in given if value is not None]
    values = [json.dumps(search.tool) if "tools" in sql else value for sql, value in present]
    # In JSON a quote within a key or a value is escaped, so that this is a whole pair.
    pairs = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in search.metadata]
    held = " AND instr(metadata, ?) > 0" * len(pairs)
    return "".join(f" AND {sql}" for sql, _ in present) + held, values + pairs


def of_status(search: Search) -> Condition:
    """That the runs sought have one of these statuses."""
    if not search.statuses:
        return "", []
    return f" AND status IN ({', '.join('?' * len(search.statuses))})", [*search.statuses]


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
