"""The run index on SQLite: one table in the file that holds the checkpoints."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import aiosqlite

from graph.index import RunRow, leads_to
from graph.state import Status

#: Steps from each version of the tables to the next; the version is SQLite's `user_version`.
MIGRATIONS = (
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
    );
    CREATE INDEX runs_unsettled ON runs (status) WHERE status IN ('pending', 'running', 'waiting');
    """,
)

_COLUMNS = (
    "run_id, owner, prompt, limits, created_at, status, started_at, completed_at,"
    " starts, checkpoint_id"
)


class SqliteIndex:
    """Writes on one connection, each statement its own durable transaction; reads on another."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def migrate(self) -> None:
        """Bring the tables to this program's version, one transaction a step."""
        for version, script in enumerate(MIGRATIONS, start=1):
            if await _user_version(self._writer) < version:
                await self._writer.executescript(
                    f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;"
                )

    async def accept(self, row: RunRow) -> None:
        await self._writer.execute_fetchall(
            f"INSERT INTO runs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants only
            (
                row.run_id,
                row.owner,
                row.prompt,
                json.dumps(row.limits),
                row.created_at,
                row.status,
                row.started_at,
                row.completed_at,
                row.starts,
                row.checkpoint_id,
            ),
        )

    async def find(self, run_id: str) -> RunRow | None:
        rows = await self._select("WHERE run_id = ?", run_id)
        return rows[0] if rows else None

    async def newest(self, limit: int) -> Sequence[RunRow]:
        return await self._select("ORDER BY rowid DESC LIMIT ?", limit)

    async def unsettled(self) -> Sequence[RunRow]:
        return await self._select(
            "WHERE status IN ('pending', 'running', 'waiting') ORDER BY rowid"
        )

    async def project(
        self, run_id: str, status: Status, *, started_at: float | None, completed_at: float | None
    ) -> bool:
        sources = leads_to(status)
        changed = await self._writer.execute_fetchall(
            "UPDATE runs SET status = ?, started_at = ?, completed_at = ?"  # noqa: S608 - constants only
            f" WHERE run_id = ? AND status IN ({', '.join('?' * len(sources))}) RETURNING run_id",
            (status, started_at, completed_at, run_id, *sources),
        )
        return bool(changed)

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        await self._writer.execute_fetchall(
            "UPDATE runs SET starts = ?, checkpoint_id = ? WHERE run_id = ?",
            (starts, checkpoint_id, run_id),
        )

    async def check(self) -> None:
        await self._writer.executescript("BEGIN IMMEDIATE; ROLLBACK;")

    async def _select(self, rest: str, *parameters: Any) -> list[RunRow]:
        rows = await self._reader.execute_fetchall(
            f"SELECT {_COLUMNS} FROM runs {rest}",  # noqa: S608 - `rest` is ours, values are bound
            parameters,
        )
        return [_row(row) for row in rows]


async def _user_version(connection: aiosqlite.Connection) -> int:
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    return int(version)


def _row(row: sqlite3.Row) -> RunRow:
    run_id, owner, prompt, limits, created_at, status, started_at, completed_at, starts, last = row
    return RunRow(
        run_id=run_id,
        owner=owner,
        prompt=prompt,
        limits=json.loads(limits),
        created_at=created_at,
        status=status,
        started_at=started_at,
        completed_at=completed_at,
        starts=starts,
        checkpoint_id=last,
    )
