"""The versions of the tables beside LangGraph's own, and how each comes from the one before."""

from graph.sqlite_keys import KEY_TABLES
from graph.sqlite_search import SEARCH_TABLES
from graph.sqlite_spending import HELD_TABLES, SPENDING_TABLES
from graph.sqlite_walk import SORT_INDEXES

#: Marks a SQLite file as ours ("RUNW"), where `file` and `PRAGMA application_id` show it.
APPLICATION_ID = 0x52554E57

#: Steps from each version of the tables to the next; the version is SQLite's `user_version`.
MIGRATIONS = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            prompt TEXT NOT NULL,
            limits TEXT NOT NULL,
            created_at REAL NOT NULL,
            status TEXT NOT NULL,
            started_at REAL,
            completed_at REAL,
            starts INTEGER NOT NULL,
            checkpoint_id TEXT
        )
        """,
        """
        CREATE INDEX runs_unsettled ON runs (status)
        WHERE status IN ('pending', 'running', 'waiting')
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN budget TEXT",
        # Written to find out whether anything can be written.
        "CREATE TABLE probe (id INTEGER PRIMARY KEY, at REAL NOT NULL)",
        "INSERT INTO probe VALUES (1, 0)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN cancel_at REAL",
        "ALTER TABLE runs ADD COLUMN cancel_by TEXT",
    ),
    (
        """
        CREATE INDEX runs_settled ON runs (completed_at, run_id)
        WHERE status IN ('completed', 'failed', 'cancelled')
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN approve TEXT NOT NULL DEFAULT 'never'",
        "ALTER TABLE runs ADD COLUMN expires_at REAL",
        "ALTER TABLE runs ADD COLUMN decision TEXT",
        "CREATE INDEX runs_waiting ON runs (expires_at) WHERE status = 'waiting'",
    ),
    (
        "ALTER TABLE runs ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN retry TEXT",
        "ALTER TABLE runs ADD COLUMN forked_from TEXT",
        "ALTER TABLE runs ADD COLUMN seed TEXT",
        "CREATE INDEX runs_forks ON runs (forked_from) WHERE forked_from IS NOT NULL",
    ),
    KEY_TABLES,
    SEARCH_TABLES,
    SPENDING_TABLES,
    SORT_INDEXES,
    HELD_TABLES,
)

#: The version that this program writes; a database with a higher one is not opened.
VERSION = len(MIGRATIONS)
