"""A look at a database file that leaves it, and what is beside it, as they are."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from graph.sqlite_migrations import APPLICATION_ID
from graph.sqlite_writer import BUSY_TIMEOUT


@dataclass(frozen=True)
class Look:
    """What a file holds. `size` in bytes, with its log; `runs` is None without such a table."""

    tables: int
    ours: bool
    version: int
    runs: int | None
    size: int


def look_at(path: Path) -> Look:
    """Read what a database file says of itself. Raises `sqlite3.Error` and `OSError`."""
    log = Path(f"{path}-wal")
    logged = log.stat().st_size if log.exists() else 0
    with closing(_connect(path, beside_log=logged > 0)) as database:
        [(version,)] = database.execute("PRAGMA user_version")
        [(application,)] = database.execute("PRAGMA application_id")
        [(tables,)] = database.execute("SELECT count(*) FROM sqlite_master")
        [(found,)] = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'")
        runs = database.execute("SELECT count(*) FROM runs").fetchone()[0] if found else None
    ours = application == APPLICATION_ID
    return Look(tables, ours, version, runs, path.stat().st_size + logged)


def _connect(path: Path, *, beside_log: bool) -> sqlite3.Connection:
    # A reader of a file in WAL mode makes the files beside it where they are not. Without a log
    # all is in the file, and it can be read as one that nobody changes.
    shared = beside_log and Path(f"{path}-shm").exists()
    how = "mode=ro" if shared else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=BUSY_TIMEOUT)
