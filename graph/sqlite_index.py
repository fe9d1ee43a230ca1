"""The run index on SQLite: one table in the file that holds the checkpoints."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import aiosqlite

from graph.decision import Decision
from graph.index import RunRow, leads_to
from graph.retrying import RetryOrder
from graph.sqlite_writer import SqliteWriter
from graph.state import Status
from graph.status import SETTLED

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
    # Within an owner it is in the order of acceptance, as every index of SQLite is.
    ("CREATE INDEX runs_of_owner ON runs (owner)",),
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
)

#: The version that this program writes; a database with a higher one is not opened.
VERSION = len(MIGRATIONS)

_COLUMNS = (
    "run_id, owner, prompt, limits, created_at, status, started_at, completed_at,"
    " starts, checkpoint_id, budget, cancel_at, cancel_by, approve, expires_at, decision,"
    " generation, retry, forked_from, seed"
)

_INSERT = f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * 20)})"  # noqa: S608 - constants only


class SqliteIndex:
    """Writes through the file's one writer, what was accepted or settled durably."""

    def __init__(self, reader: aiosqlite.Connection, writer: SqliteWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def migrate(self) -> None:
        """Bring the tables to this program's version, one transaction a step."""
        [(present,)] = await self._reader.execute_fetchall("PRAGMA user_version")
        for version, statements in enumerate(MIGRATIONS, start=1):
            if version > present:
                await self._writer.write(
                    *((statement, ()) for statement in statements),
                    (f"PRAGMA user_version = {version}", ()),
                    durable=True,
                )

    async def accept(self, row: RunRow) -> None:
        values = (
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
            json.dumps(row.budget),
            row.cancel_at,
            row.cancel_by,
            row.approve,
            row.expires_at,
            row.decision and json.dumps(row.decision),
            row.generation,
            json.dumps(row.retry) if row.retry else None,
            row.forked_from,
            json.dumps(row.seed) if row.seed else None,
        )
        await self._writer.write((_INSERT, values), durable=True)

    async def find(self, run_id: str) -> RunRow | None:
        rows = await self._select("WHERE run_id = ?", run_id)
        return rows[0] if rows else None

    async def owned(self, run_id: str, owner: str | None) -> bool:
        query = "SELECT 1 FROM runs WHERE run_id = ? AND owner = coalesce(?, owner)"
        return bool([*await self._reader.execute_fetchall(query, (run_id, owner))])

    async def newest(self, limit: int, owner: str | None = None) -> Sequence[RunRow]:
        if owner is None:
            return await self._select("ORDER BY rowid DESC LIMIT ?", limit)
        return await self._select("WHERE owner = ? ORDER BY rowid DESC LIMIT ?", owner, limit)

    async def forks(self, run_id: str) -> Sequence[str]:
        rows = await self._reader.execute_fetchall(
            "SELECT run_id FROM runs WHERE forked_from = ? ORDER BY rowid", (run_id,)
        )
        return [forked for (forked,) in rows]

    async def unsettled(self) -> Sequence[RunRow]:
        return await self._select(
            "WHERE status IN ('pending', 'running', 'waiting') ORDER BY rowid"
        )

    async def project(
        self,
        run_id: str,
        status: Status,
        *,
        started_at: float | None,
        completed_at: float | None,
        generation: int | None = None,
    ) -> bool:
        sources = leads_to(status)
        update = (
            "UPDATE runs SET status = ?, started_at = ?, completed_at = ?, seed = NULL"  # noqa: S608 - constants only
            " WHERE run_id = ? AND generation = coalesce(?, generation)"
            f" AND status IN ({', '.join('?' * len(sources))})"
        )
        values = (status, started_at, completed_at, run_id, generation, *sources)
        return await self._writer.write((update, values), durable=status in SETTLED) > 0

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        sources = [*leads_to("cancelled")]
        update = (
            "UPDATE runs SET cancel_at = coalesce(cancel_at, ?), cancel_by = coalesce(cancel_by, ?)"  # noqa: S608 - constants only
            f" WHERE run_id = ? AND status IN ({', '.join('?' * len(sources))})"
        )
        return await self._writer.write((update, (at, by, run_id, *sources)), durable=True) > 0

    async def decide(self, run_id: str, decision: Decision) -> bool:
        update = (
            "UPDATE runs SET decision = ? WHERE run_id = ? AND decision IS NULL"
            " AND cancel_at IS NULL AND status IN ('pending', 'running', 'waiting')"
        )
        values = (json.dumps(decision), run_id)
        return await self._writer.write((update, values), durable=True) > 0

    async def forget_decision(self, run_id: str) -> None:
        update = "UPDATE runs SET decision = NULL WHERE run_id = ?"
        await self._writer.write((update, (run_id,)), durable=True)

    async def note_expiry(self, run_id: str, at: float) -> None:
        update = "UPDATE runs SET expires_at = ? WHERE run_id = ?"
        await self._writer.write((update, (at, run_id)), durable=True)

    async def expired(self, now: float, limit: int) -> Sequence[str]:
        rows = await self._reader.execute_fetchall(
            "SELECT run_id FROM runs WHERE status = 'waiting' AND expires_at <= ?"
            " AND decision IS NULL AND cancel_at IS NULL"
            " ORDER BY expires_at LIMIT ?",
            (now, limit),
        )
        return [run_id for (run_id,) in rows]

    async def request_retry(self, run_id: str, order: RetryOrder) -> bool:
        update = (
            "UPDATE runs SET status = 'pending', started_at = NULL, completed_at = NULL,"
            " starts = 1, checkpoint_id = NULL, cancel_at = NULL, cancel_by = NULL,"
            " expires_at = NULL, decision = NULL, generation = ?, retry = ?"
            " WHERE run_id = ? AND generation = ?"
        )
        generation = order["generation"]
        values = (generation, json.dumps(order), run_id, generation - 1)
        return await self._writer.write((update, values), durable=True) > 0

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        update = "UPDATE runs SET starts = ?, checkpoint_id = ? WHERE run_id = ?"
        await self._writer.write((update, (starts, checkpoint_id, run_id)), durable=True)

    async def settled_before(
        self, moment: float, *, after: RunRow | None, limit: int
    ) -> Sequence[RunRow]:
        return await self._select(
            "WHERE status IN ('completed', 'failed', 'cancelled') AND completed_at < ?"
            " AND (completed_at, run_id) > (?, ?) ORDER BY completed_at, run_id LIMIT ?",
            moment,
            after.completed_at if after else 0.0,
            after.run_id if after else "",
            limit,
        )

    async def check(self) -> None:
        await self._writer.write(("UPDATE probe SET at = ? WHERE id = 1", (time.time(),)))

    async def _select(self, rest: str, *parameters: Any) -> list[RunRow]:
        rows = await self._reader.execute_fetchall(
            f"SELECT {_COLUMNS} FROM runs {rest}",  # noqa: S608 - `rest` is ours, values are bound
            parameters,
        )
        return [_row(row) for row in rows]


def _row(row: sqlite3.Row) -> RunRow:
    (
        run_id,
        owner,
        prompt,
        limits,
        created_at,
        status,
        started_at,
        completed_at,
        starts,
        checkpoint_id,
        budget,
        cancel_at,
        cancel_by,
        approve,
        expires_at,
        decision,
        generation,
        retry,
        forked_from,
        seed,
    ) = row
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
        checkpoint_id=checkpoint_id,
        budget=json.loads(budget) if budget else None,
        cancel_at=cancel_at,
        cancel_by=cancel_by,
        approve=approve,
        expires_at=expires_at,
        decision=json.loads(decision) if decision else None,
        generation=generation,
        retry=json.loads(retry) if retry else None,
        forked_from=forked_from,
        seed=json.loads(seed) if seed else None,
    )
