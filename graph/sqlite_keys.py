"""Request keys on SQLite: a run and its key are written in one transaction, or neither is."""

from collections.abc import Sequence
from typing import Any

from graph.request_key import KEPT, RequestKey
from graph.run_row import RunRow
from graph.sqlite_writer import Statement

#: A run that is removed takes its key along.
KEY_TABLES = (
    """
    CREATE TABLE request_keys (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        run_id TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (owner, name)
    )
    """,
    "CREATE INDEX request_keys_by_age ON request_keys (created_at)",
    "CREATE INDEX request_keys_by_run ON request_keys (run_id)",
    """
    CREATE TRIGGER request_keys_removed AFTER DELETE ON runs BEGIN
        DELETE FROM request_keys WHERE run_id = old.run_id;
    END
    """,
)

#: How many keys whose time is over are removed whenever one is added, so that they do not pile up.
_SWEPT = 100

FIND = (
    "SELECT run_id, fingerprint FROM request_keys WHERE owner = ? AND name = ? AND created_at > ?"
)


def taking(
    row: RunRow, key: RequestKey, insert: str, values: Sequence[Any]
) -> tuple[Statement, ...]:
    """What writes a run together with its key, or nothing where the key is taken.

    `insert` ends with the source of its `values`. The last statement changes a row if it was free.
    """
    over = row.created_at - KEPT
    named = (row.owner, key.name)
    return (
        (
            "DELETE FROM request_keys WHERE owner = ? AND name = ? AND created_at <= ?",
            (*named, over),
        ),
        (
            "DELETE FROM request_keys WHERE rowid IN"
            " (SELECT rowid FROM request_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?)",
            (over, _SWEPT),
        ),
        (
            "INSERT OR IGNORE INTO request_keys VALUES (?, ?, ?, ?, ?)",
            (*named, key.fingerprint, row.run_id, row.created_at),
        ),
        (
            f"{insert} WHERE EXISTS"  # noqa: S608 - `insert` is ours, values are bound
            " (SELECT 1 FROM request_keys WHERE owner = ? AND name = ? AND run_id = ?)",
            (*values, *named, row.run_id),
        ),
    )
