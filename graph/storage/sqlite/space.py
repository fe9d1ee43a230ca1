"""Removing runs from a SQLite file, and giving the room that they have left back to its disk.

Pages that become free are used by the next runs, so most files keep the size that they need. One of
which more than half is free is written anew. SQLite could move its last pages one by one instead
(`auto_vacuum`), but keeps a map for that, and with that map a run writes 8 % more to the log.
"""

import asyncio
import logging
import sqlite3
from pathlib import Path

import aiosqlite

from graph.storage.sql.deletion import SqlDeletion
from graph.storage.sql.statements import JsonLists
from graph.storage.sqlite.writer import BUSY_TIMEOUT, LARGEST_WAL, SqliteWriter

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
