"""The file as a whole: a copy of it as it is at one moment, and room given back to its disk.

A copy is made beside the server that has the file, or without one.

Pages that become free are used by the next runs, so most files keep the size that they need. One of
which more than half is free is written anew. SQLite could move its last pages one by one instead
(`auto_vacuum`), but keeps a map for that, and with that map a run writes 8 % more to the log.
"""

import asyncio
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from graph.storage.sql.space import SqlDeletion
from graph.storage.sql.statements import JsonLists
from graph.storage.sqlite.connections import BUSY_TIMEOUT, LARGEST_WAL, SqliteWriter
from graph.storage.sqlite.schema import APPLICATION_ID


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


logger = logging.getLogger("runwright.storage")

#: The least that is worth it, and the most that is written anew beside runs, which wait meanwhile:
#: about a second, in bytes.
LEAST_FREE, LARGEST = 16 * 2**20, 64 * 2**20


class SqliteSpace:
    """The room of one file, looked at after runs were removed from it.

    `reader` is asked how much is free, `factory` makes the connection that writes the file anew.
    """

    def __init__(
        self,
        path: Path,
        reader: aiosqlite.Connection,
        factory: type[sqlite3.Connection],
        *,
        least_free: int = LEAST_FREE,
        largest: int = LARGEST,
    ) -> None:
        self._path = path
        self._reader = reader
        self._factory = factory
        self._least_free = least_free
        self._largest = largest

    async def __call__(self) -> int:
        """Write the file anew if more than half of it is free; the bytes that it is smaller then.

        Raises `sqlite3.Error`, and then the file is as it was.
        """
        free, used = await self._pages()
        if free < max(self._least_free, used) or used > self._largest:
            return 0
        async with aiosqlite.connect(
            self._path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=self._factory
        ) as connection:
            await connection.execute_fetchall(f"PRAGMA journal_size_limit={LARGEST_WAL}")
            try:
                await connection.execute_fetchall("VACUUM")
            except asyncio.CancelledError:  # the process ends; nothing has changed
                await connection.interrupt()
                raise
            await connection.execute_fetchall("PRAGMA wal_checkpoint")
        logger.info("room given back", extra={"bytes": free})
        return free

    async def _pages(self) -> tuple[int, int]:
        """Free and used bytes."""
        names = ("page_size", "page_count", "freelist_count")
        rows = [await self._reader.execute_fetchall(f"PRAGMA {name}") for name in names]
        size, count, free = (int(row[0]) for [row] in rows)
        return free * size, (count - free) * size


class SqliteDeletion(SqlDeletion):
    """Removes runs through the file's one writer."""

    def __init__(self, writer: SqliteWriter) -> None:
        super().__init__(writer, LISTS)


LISTS = JsonLists(
    pairs="SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS generation"
    " FROM json_each(?)",
    values="SELECT value FROM json_each(?)",
)
