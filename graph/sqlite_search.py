"""Searching runs on SQLite: one index that covers all filters, and a full-text one of prompts.

Each row has a `number` of acceptance, which both go by: rowids may change when a file is compacted.
"""

import json
from typing import Any

import aiosqlite

from graph.search import MOST_COUNTED, STATUSES, Position, Search, order
from graph.state import Status
from graph.words import full_text_query

#: Written to the row by its own triggers, so that whatever stores or removes a run need not care.
SEARCH_TABLES = (
    "ALTER TABLE runs ADD COLUMN number INTEGER",
    "ALTER TABLE runs ADD COLUMN planner TEXT",
    "ALTER TABLE runs ADD COLUMN model TEXT",
    "ALTER TABLE runs ADD COLUMN tools TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE runs ADD COLUMN usd REAL",
    "ALTER TABLE runs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN taken_up INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN duration REAL AS (completed_at - started_at)",
    "UPDATE runs SET number = rowid",
    "CREATE UNIQUE INDEX runs_number ON runs (number)",
    """
    CREATE INDEX runs_facts ON runs (
        owner, status, number, created_at, planner, model, tools, usd, retries, taken_up, duration
    )
    """,
    """
    CREATE VIRTUAL TABLE runs_text USING fts5(
        prompt, content = '', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    "INSERT INTO runs_text (rowid, prompt) SELECT number, prompt FROM runs",
    """
    CREATE TRIGGER runs_numbered AFTER INSERT ON runs BEGIN
        UPDATE runs SET number = (SELECT coalesce(max(number), 0) + 1 FROM runs)
        WHERE run_id = new.run_id;
        INSERT INTO runs_text (rowid, prompt)
        SELECT number, prompt FROM runs WHERE run_id = new.run_id;
    END
    """,
    """
    CREATE TRIGGER runs_text_removed AFTER DELETE ON runs BEGIN
        INSERT INTO runs_text (runs_text, rowid, prompt) VALUES ('delete', old.number, old.prompt);
    END
    """,
)

#: With no more runs than this with the words sought, each is looked at, else all that there are.
FEW = 1_000

#: What each order sorts by before the number.
_KEYS = {"time": "NULL", "duration": "duration", "cost": "usd"}

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


async def look_up(
    connection: aiosqlite.Connection, owner: str, search: Search
) -> tuple[list[Position], dict[Status, int]]:
    """The places of one page and one more, and the count of each status up to one more."""
    if search.text is not None:
        statement = await _among_words(connection, owner, search)
    else:
        statement = _by_status(owner, search)
    places: list[Position] = []
    counts = dict.fromkeys(STATUSES, 0)
    for status, key, number in await connection.execute_fetchall(*statement):
        if status is None:
            places.append(Position(key=key, number=number))
        else:
            counts[status] = min(number, MOST_COUNTED + 1)
    return sorted(places, key=lambda place: order(place, search)), counts


def _by_status(owner: str, search: Search) -> Condition:
    """Each status by itself, in the order of acceptance: that is the order of the index.

    The parts of a page are merged, and no status is counted beyond what is told.
    """
    condition, values = _conditions(search)
    counted = " UNION ALL ".join(
        f"SELECT '{status}' AS status, NULL AS key, count(*) AS number FROM"  # noqa: S608 - constants only
        " (SELECT 1 FROM runs INDEXED BY runs_facts"
        f" WHERE owner = ? AND status = '{status}'{condition} LIMIT {MOST_COUNTED + 1})"
        for status in STATUSES
    )
    begin, begun = _beginning(search, _KEYS[search.sort])
    statuses = search.statuses or STATUSES
    merged = " UNION ALL ".join(
        f"SELECT {_KEYS[search.sort]} AS key, number FROM runs INDEXED BY runs_facts"  # noqa: S608 - constants only
        f" WHERE owner = ? AND status = '{status}'{condition}{begin}"
        for status in statuses
    )
    page = f"SELECT NULL, key, number FROM ({merged} ORDER BY {_order(search)} LIMIT ?)"  # noqa: S608 - constants only
    given = [*([owner, *values] * len(STATUSES)), *([owner, *values, *begun] * len(statuses))]
    return f"{counted} UNION ALL {page}", [*given, search.limit + 1]


async def _among_words(connection: aiosqlite.Connection, owner: str, search: Search) -> Condition:
    """Those with the words are gathered once, to be counted and sorted."""
    sought = full_text_query(search.text or "")
    if sought is None:
        return "SELECT NULL, NULL, NULL WHERE 0", []
    probe = "SELECT count(*) FROM (SELECT 1 FROM runs_text WHERE runs_text MATCH ? LIMIT ?)"
    [(number,)] = await connection.execute_fetchall(probe, (sought, FEW + 1))
    index, column = ("runs_number", "number") if number <= FEW else ("runs_facts", "+number")
    condition, values = _conditions(search)
    begin, begun = _beginning(search, "key")
    marks = ", ".join("?" * len(search.statuses))
    asked = f" AND status IN ({marks})" if search.statuses else ""
    statement = (
        "WITH found AS MATERIALIZED ("  # noqa: S608 - constants only
        f"SELECT status, {_KEYS[search.sort]} AS key, number FROM runs INDEXED BY {index}"
        f" WHERE {column} IN (SELECT rowid FROM runs_text WHERE runs_text MATCH ?)"
        f" AND owner = ?{condition})"
        " SELECT status, NULL, count(*) FROM found GROUP BY status"
        " UNION ALL SELECT NULL, key, number FROM"
        f" (SELECT key, number FROM found WHERE 1{asked}{begin}"
        f" ORDER BY {_order(search)} LIMIT ?)"
    )
    return statement, [sought, owner, *values, *search.statuses, *begun, search.limit + 1]


def _conditions(search: Search) -> Condition:
    given = [(sql, getattr(search, name)) for name, sql in _FILTERS]
    present = [(sql, value) for sql, value in given if value is not None]
    values = [json.dumps(search.tool) if "tools" in sql else value for sql, value in present]
    return "".join(f" AND {sql}" for sql, _ in present), values


def _beginning(search: Search, column: str) -> Condition:
    """What comes after the position that the search goes on from."""
    if search.after is None:
        return "", []
    way, key, number = "<" if search.descending else ">", search.after.key, search.after.number
    if key is None:
        unknown = "" if search.sort == "time" else f" AND {column} IS NULL"
        return f"{unknown} AND number {way} ?", [number]
    return f" AND ({column} IS NULL OR ({column}, number) {way} (?, ?))", [key, number]


def _order(search: Search) -> str:
    way = "DESC" if search.descending else "ASC"
    return f"number {way}" if search.sort == "time" else f"key {way} NULLS LAST, number {way}"
