"""What a search asks, as SQL over the columns of the run index."""

import json
from typing import Any

from graph.storage.search import Search

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
