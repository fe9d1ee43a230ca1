"""Searching runs on SQLite: one index that covers all filters, and a full-text one of prompts.

Each row has a `number` of acceptance, which both go by: rowids may change when a file is compacted.
"""

import aiosqlite

from graph.search import MOST_COUNTED, STATUSES, Position, Search
from graph.sqlite_filters import KEYS, Condition, beginning, conditions, ordering
from graph.sqlite_walk import walk
from graph.sqlite_words import Gathered, look_up_words
from graph.state import Status

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
