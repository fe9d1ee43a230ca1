"""The run index on SQLite: one table in the file that holds the checkpoints."""

import json
import time
from collections.abc import Sequence
from typing import Any

import aiosqlite

from graph.facts import NO_FACTS, Facts
from graph.index import RunRow, leads_to
from graph.request_key import KEPT, KeyedRun, RequestKey
from graph.search import Found, Search
from graph.sqlite_keys import FIND, KEY_TABLES, taking
from graph.sqlite_search import SEARCH_TABLES, look_up
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
    KEY_TABLES,
    SEARCH_TABLES,
)

#: The version that this program writes; a database with a higher one is not opened.
VERSION = len(MIGRATIONS)

_COLUMNS = (
    "run_id, owner, prompt, limits, created_at, status, started_at, completed_at,"
    " starts, checkpoint_id, budget, cancel_at, cancel_by,"
    " planner, model, tools, usd, retries, taken_up"
)

_INSERT = f"INSERT INTO runs ({_COLUMNS}) SELECT {', '.join('?' * 19)}"


class SqliteIndex:
    """Writes through the file's one writer, what was accepted or settled durably."""

    def __init__(
        self,
        reader: aiosqlite.Connection,
        writer: SqliteWriter,
        searcher: aiosqlite.Connection,
    ) -> None:
        self._reader = reader
        self._searcher = searcher  # its own, so that no search holds up who reads one run
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
        await self._writer.write((_INSERT, _values(row)), durable=True)

    async def accept_once(self, row: RunRow, key: RequestKey) -> KeyedRun:
        statements = taking(row, key, _INSERT, _values(row))
        while not await self._writer.write(*statements, durable=True):
            if first := await self.find_key(row.owner, key.name, at=row.created_at):
                return first
            # The run that had the key was removed just now, and has left the key free.
        return KeyedRun(run_id=row.run_id, fingerprint=key.fingerprint)

    async def find_key(self, owner: str, name: str, *, at: float) -> KeyedRun | None:
        found = await self._reader.execute_fetchall(FIND, (owner, name, at - KEPT))
        return next((KeyedRun(run_id=run_id, fingerprint=told) for run_id, told in found), None)

    async def find(self, run_id: str) -> RunRow | None:
        rows = await self._select("WHERE run_id = ?", run_id)
        return rows[0] if rows else None

    async def newest(self, limit: int) -> Sequence[RunRow]:
        return await self._select("ORDER BY rowid DESC LIMIT ?", limit)

    async def search(self, owner: str, search: Search) -> Found:
        places, counts = await look_up(self._searcher, owner, search)
        page = [place.number for place in places[: search.limit]]
        found = await self._searcher.execute_fetchall(
            f"SELECT number, {_COLUMNS} FROM runs WHERE number IN ({', '.join('?' * len(page))})",  # noqa: S608 - constants only
            page,
        )
        rows = {number: _row(row) for number, *row in found}
        return Found(
            rows=[rows[number] for number in page if number in rows],
            counts=counts,
            after=places[len(page) - 1] if len(places) > len(page) else None,
        )

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
        facts: Facts = NO_FACTS,
    ) -> bool:
        sources = leads_to(status)
        update = (
            "UPDATE runs SET status = ?, started_at = ?, completed_at = ?,"  # noqa: S608 - constants only
            " planner = ?, model = ?, tools = ?, usd = ?, retries = ?, taken_up = ?"
            f" WHERE run_id = ? AND status IN ({', '.join('?' * len(sources))})"
        )
        values = (status, started_at, completed_at, *_told(facts), run_id, *sources)
        return await self._writer.write((update, values), durable=status in SETTLED) > 0

    async def request_cancel(self, run_id: str, *, at: float, by: str) -> bool:
        sources = [*leads_to("cancelled")]
        update = (
            "UPDATE runs SET cancel_at = coalesce(cancel_at, ?), cancel_by = coalesce(cancel_by, ?)"  # noqa: S608 - constants only
            f" WHERE run_id = ? AND status IN ({', '.join('?' * len(sources))})"
        )
        return await self._writer.write((update, (at, by, run_id, *sources)), durable=True) > 0

    async def note_start(self, run_id: str, *, starts: int, checkpoint_id: str | None) -> None:
        update = (
            "UPDATE runs SET starts = ?, checkpoint_id = ?, taken_up = taken_up + (? > 0)"
            " WHERE run_id = ?"
        )
        values = (starts, checkpoint_id, starts, run_id)
        await self._writer.write((update, values), durable=True)

    async def check(self) -> None:
        await self._writer.write(("UPDATE probe SET at = ? WHERE id = 1", (time.time(),)))

    async def _select(self, rest: str, *parameters: Any) -> list[RunRow]:
        rows = await self._reader.execute_fetchall(
            f"SELECT {_COLUMNS} FROM runs {rest}",  # noqa: S608 - `rest` is ours, values are bound
            parameters,
        )
        return [_row(row) for row in rows]


def _values(row: RunRow) -> tuple[Any, ...]:
    return (
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
        *_told(row.facts),
    )


def _told(facts: Facts) -> tuple[Any, ...]:
    tools = json.dumps(facts.tools)
    return facts.planner, facts.model, tools, facts.usd, facts.retries, facts.taken_up


def _row(row: Sequence[Any]) -> RunRow:
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
        planner,
        model,
        tools,
        usd,
        retries,
        taken_up,
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
        facts=Facts(
            planner=planner,
            model=model,
            tools=tuple(json.loads(tools)),
            usd=usd,
            retries=retries,
            taken_up=taken_up,
        ),
    )
