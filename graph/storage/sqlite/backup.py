"""A copy of a SQLite file as it is at one moment, made beside the server that has it or without."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from graph.storage.sqlite.schema import APPLICATION_ID
from graph.storage.sqlite.writer import BUSY_TIMEOUT


class BackupFailed(Exception):
    """There is no copy; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class Copied:
    """What a copy holds; `size` in bytes."""

    runs: int
    size: int


def back_up(source: Path, target: Path) -> Copied:
    """Copy a database to a file that is not there yet; it is there whole or not at all.

    Those who write meanwhile are not held up: the copy is of the moment at which it was begun.
    Raises `BackupFailed`.
    """
    if os.path.lexists(target):
        raise BackupFailed(f"{target} is there already and is not overwritten; name another file")
    if not source.is_file():
        raise BackupFailed(f"there is no database {source} to copy (RUNWRIGHT_DATABASE_URL)")
    if not target.parent.is_dir():
        raise BackupFailed(f"there is no folder {target.parent}; make it, or name another file")
    try:
        with _unfinished(target) as part:
            runs = _copy(source, part)
            size = part.stat().st_size
            _publish(part, target)
    except FileExistsError:
        raise BackupFailed(f"{target} was made meanwhile and is not overwritten") from None
    except (sqlite3.Error, OSError) as error:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        more = "; an earlier copy is to be put back" if damaged else ""
        raise BackupFailed(f"cannot copy {source} to {target}: {error}{more}") from error
    return Copied(runs, size)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A file beside the target, which nobody takes for a copy while it is none."""
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(number)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> int:
    """The number of runs in the copy."""
    # Not read-only: what a killed process left in the log beside the file is a part of it, and
    # cannot be read without writing.
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as original,
        closing(sqlite3.connect(part)) as copy,
    ):
        original.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT * 1000:.0f}")
        [(application,)] = original.execute("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise BackupFailed(f"{source} is no database of Runwright (RUNWRIGHT_DATABASE_URL)")
        # All pages in one step: in several it would begin anew with every write of the server.
        original.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        [(runs,)] = copy.execute("SELECT count(*) FROM runs")
        if copy.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("a page is damaged")
    return int(runs)


def _publish(part: Path, target: Path) -> None:
    """Give the copy its name, unless something has it. Raises `FileExistsError`."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # there are file systems without links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        part.rename(target)
