"""Walking a database for rows that belong to nothing."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid5

#: Columns by which a table's rows name the run that they belong to.
NAMES = ("run_id", "thread_id")

#: Tables whose rows belong to a run in another way, and when they do.
BELONGS = {
    "writes": "(thread_id, checkpoint_id) IN (SELECT thread_id, checkpoint_id FROM checkpoints)",
    # Who did what outlasts its run, where its removal is part of that.
    "audit": "run_id IN (SELECT run_id FROM runs UNION ALL"
    " SELECT run_id FROM audit WHERE kind = 'delete')",
}

#: Receipts are looked for under the keys of so many generations and steps of each run.
GENERATIONS, STEPS = 4, 120


def orphans(path: Path) -> list[str]:
    """What is left of runs that are not there, and what is missing of runs that are.

    Works beside a live server: it looks at one snapshot. Every table with a column of `NAMES` is
    walked, whoever made it, and those of `BELONGS`.
    """
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as database:
        database.execute("BEGIN")
        return [
            *_without_run(database),
            *_astray(database),
            *_without_checkpoint(database),
            *_receipts(database),
        ]


def _without_run(database: sqlite3.Connection) -> Iterator[str]:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        for column in set(columns) & set(NAMES) if table != "audit" else ():
            rows = database.execute(
                f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
                f" AND {column} NOT IN (SELECT run_id FROM runs)"
            )
            yield from (f"{table}: rows of run {run_id}, which is not there" for (run_id,) in rows)


def _astray(database: sqlite3.Connection) -> Iterator[str]:
    for table, condition in BELONGS.items():
        rows = database.execute(f"SELECT * FROM {table} WHERE NOT ({condition})").fetchall()
        yield from (f"{table}: {str(row)[:80]} belongs to nothing" for row in rows)


def _without_checkpoint(database: sqlite3.Connection) -> Iterator[str]:
    settled = database.execute(
        "SELECT run_id FROM runs WHERE status IN ('completed', 'failed', 'cancelled')"
        " AND run_id NOT IN (SELECT thread_id FROM checkpoints)"
    )
    yield from (f"runs: {run_id} is settled and has no checkpoint" for (run_id,) in settled)


def _receipts(database: sqlite3.Connection) -> Iterator[str]:
    known = {
        str(uuid5(UUID(run_id), f"{generation}:{step}"))
        for (run_id,) in database.execute("SELECT run_id FROM runs")
        for generation in range(GENERATIONS)
        for step in range(1, STEPS + 1)
    }
    rows = database.execute(
        "SELECT prefix, key, value FROM store"
        " WHERE prefix LIKE 'receipts.%' OR prefix LIKE 'begun.%'"
    )
    for prefix, key, value in rows:
        if key not in known:
            told = json.dumps(json.loads(value))[:80]
            yield f"store: the receipt {key} of {prefix} belongs to no run ({told})"
