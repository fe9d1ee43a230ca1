"""`runwright backup`: a consistent copy of the database, while it is served or not."""

from pathlib import Path

from api.counting import counted
from graph.settings import Settings
from graph.storage.open import sqlite_path
from graph.storage.sqlite.backup import BackupFailed, back_up


def back_up_to(settings: Settings, file: str) -> str:
    """Copy the configured database; a line that tells what is in the copy.

    Raises `BackupFailed`, and `StorageError` for a URL that names no database.
    """
    if settings.database_url == "memory://":
        raise BackupFailed("memory:// has no file to copy; set RUNWRIGHT_DATABASE_URL to the one")
    copied = back_up(sqlite_path(settings.database_url), Path(file))
    return f"{file}: {counted(copied.runs, 'run')}, {copied.size:,} bytes"
