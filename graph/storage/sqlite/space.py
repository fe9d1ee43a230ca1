"""Removing runs from a SQLite file, and giving the room that they have left back to its disk.

Pages that become free are used by the next runs, so most files keep the size that they need. One of
which more than half is free is written anew. SQLite could move its last pages one by one instead
(`auto_vacuum`), but keeps a map for that, and with that map a run writes 8 % more to the log.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import aiosqlite

from graph.state.row import RunArtifacts
from graph.state.status import SETTLED
from graph.storage.sqlite.changes import REMOVED
from graph.storage.sqlite.schema import listed
from graph.storage.sqlite.writer import BUSY_TIMEOUT, LARGEST_WAL, SqliteWriter, Statement

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


# Removing settled runs from a SQLite file, so that nothing of them is left or all of it.


#: Every table that has rows of runs besides `runs`, and the column that names the run.
TABLES = {"checkpoints": "thread_id", "writes": "thread_id"}

#: Those that are still settled when it comes to it: a run may have been told to go on meanwhile,
#: and have come to another end, of which its receipts are not known.
_SETTLED = f"""
    SELECT run_id FROM json_each(?) AS artifact CROSS JOIN runs
    ON run_id = json_extract(artifact.value, '$[0]')
    AND generation = json_extract(artifact.value, '$[1]')
    WHERE status IN ({listed(SETTLED)})
"""  # noqa: S608 - constants only


class SqliteDeletion:
    """Removes runs through the file's one writer; the pages that become free are used again."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer

    async def __call__(
        self, runs: Sequence[RunArtifacts], thread_id: str | None = None, *, by: str = "server"
    ) -> int:
        """Remove these runs, those of them that are settled; how many that were.

        With a thread all of them, or none unless that has no others.
        """
        ids, noted = _named(*runs), (time.time(), by)
        if thread_id is not None:
            return await self._remove_thread(thread_id, runs, ids, noted)
        return await self._writer.write(
            (f"{REMOVED} ({_SETTLED})", (*noted, ids)),
            *(_receipts(run) for run in runs if run.step_keys),
            *(
                (f"DELETE FROM {table} WHERE {column} IN ({_SETTLED})", (ids,))  # noqa: S608 - constants only
                for table, column in TABLES.items()
            ),
            (f"DELETE FROM runs WHERE run_id IN ({_SETTLED})", (ids,)),  # noqa: S608 - constants only
        )

    async def _remove_thread(
        self, thread_id: str, runs: Sequence[RunArtifacts], ids: str, noted: tuple[float, str]
    ) -> int:
        # Each condition is looked at once, before its statement removes anything; the runs that it
        # counts are the last to go.
        keys = json.dumps([key for run in runs for key in run.step_keys])
        prefixes = json.dumps(sorted({".".join(one) for run in runs for one in run.receipts}))
        whole = (thread_id, ids)
        return await self._writer.write(
            (f"{REMOVED} ({_SETTLED}) AND {_WHOLE}", (*noted, ids, *whole)),
            (f"{_RECEIPTS} AND {_WHOLE}", (prefixes, keys, *whole)),
            *(
                (
                    f"DELETE FROM {table} WHERE {column} IN ({_SETTLED}) AND {_WHOLE}",  # noqa: S608 - constants only
                    (ids, *whole),
                )
                for table, column in (TABLES | {"runs": "run_id"}).items()
            ),
            durable=True,
        )


#: Receipts of these step keys.
_RECEIPTS = (
    "DELETE FROM store WHERE prefix IN (SELECT value FROM json_each(?))"
    " AND key IN (SELECT value FROM json_each(?))"
)

#: Holds where a thread has no other runs than these, and all of them are settled.
_WHOLE = f"""
    (SELECT count(*) FROM runs WHERE thread_id = ?) = (SELECT count(*) FROM ({_SETTLED}))
"""  # noqa: S608 - constants only


def _receipts(run: RunArtifacts) -> Statement:
    statement = f"{_RECEIPTS} AND EXISTS ({_SETTLED})"
    keys = json.dumps(run.step_keys)
    prefixes = json.dumps([".".join(one) for one in run.receipts])
    return statement, (prefixes, keys, _named(run))


def _named(*runs: RunArtifacts) -> str:
    return json.dumps([[run.run_id, run.generation] for run in runs])
