"""What is written down of changes on SQLite: what is to be posted of them, and who made them.

Triggers on the table of runs do that, in the change's transaction.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence

import aiosqlite

from graph.settings.configured import site_of
from graph.state import Status
from graph.storage.audit import AuditEntry, AuditQuery
from graph.storage.outbox import Delivery, Undelivered
from graph.storage.sqlite.search.searcher import Searcher
from graph.storage.sqlite.writer import SqliteWriter

#: One that stands behind an earlier one of its run and endpoint is not due, whenever that is.
_IS_FIRST = """
    NOT given_up AND NOT EXISTS (
        SELECT 1 FROM outbox AS earlier WHERE earlier.run_id = one.run_id
        AND earlier.endpoint = one.endpoint AND earlier.number < one.number
        AND NOT earlier.given_up
    )
"""

_DUE = f"""
    SELECT number, run_id, endpoint, status, at, attempts FROM outbox AS one
    WHERE due <= ? AND {_IS_FIRST} AND NOT EXISTS (
        SELECT 1 FROM json_each(?) WHERE substr(endpoint || '/', 1, length(value)) = value
    ) ORDER BY number LIMIT ?
"""  # noqa: S608 - constants only

_NEXT_DUE = f"""
    SELECT due FROM outbox AS one WHERE due > ? AND {_IS_FIRST} ORDER BY due LIMIT 1
"""  # noqa: S608 - constants only

_UNDELIVERED = """
    SELECT endpoint, status, at, attempts, failure, given_up FROM outbox
    WHERE run_id = ? AND failure IS NOT NULL ORDER BY number
"""


_ANY_FAILED = "SELECT 1 FROM outbox WHERE failure IS NOT NULL LIMIT 1"


class SqliteOutbox:
    """Reads on the connection of the index, writes through the file's one writer."""

    def __init__(self, reader: aiosqlite.Connection, writer: SqliteWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._failed = True  # whether anything may have; every record asks

    async def open(self) -> None:
        """Find out whether an earlier process has left anything that it tried without success."""
        rows = await self._reader.execute_fetchall(_ANY_FAILED)
        self._failed = bool([*rows])

    async def subscribe(self, endpoints: Mapping[str, Sequence[Status]]) -> None:
        known = await self._reader.execute_fetchall("SELECT endpoint, statuses FROM webhooks")
        wanted = {url: json.dumps(statuses) for url, statuses in endpoints.items()}
        if dict(map(tuple, known)) != wanted:
            await self._writer.write(
                ("DELETE FROM webhooks", ()),
                *(("INSERT INTO webhooks VALUES (?, ?)", pair) for pair in wanted.items()),
                durable=True,
            )

    async def due(
        self, now: float, *, limit: int, without: Collection[str] = ()
    ) -> Sequence[Delivery]:
        values = (now, json.dumps([*without]), limit)
        rows = await self._reader.execute_fetchall(_DUE, values)
        return [Delivery(*row) for row in rows]

    async def next_due(self, *, after: float) -> float | None:
        rows = await self._reader.execute_fetchall(_NEXT_DUE, (after,))
        return next((float(moment) for (moment,) in rows), None)

    async def delivered(self, one: Delivery) -> None:
        values = (time.time(), site_of(one.endpoint), one.number)
        delete = "DELETE FROM outbox WHERE number = ?"
        await self._writer.write((_TOLD, values), (delete, (one.number,)))

    async def postpone(self, number: int, *, until: float, failure: str) -> None:
        self._failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET due = ?, failure = ?, attempts = attempts + 1 WHERE number = ?",
                (until, failure, number),
            )
        )

    async def give_up(self, number: int, *, failure: str) -> None:
        self._failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET given_up = 1, failure = ?, attempts = attempts + 1"
                " WHERE number = ?",
                (failure, number),
            )
        )

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        if not self._failed:
            return ()
        rows = await self._reader.execute_fetchall(_UNDELIVERED, (run_id,))
        return [Undelivered(*row) for row in rows]


_TOLD = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'webhook', ? FROM outbox JOIN runs USING (run_id)
    WHERE outbox.number = ?
"""

#: What writes down that runs of a list are removed; a condition follows.
REMOVED = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'delete', ? FROM runs WHERE run_id IN
"""

_OF_REMOVED = """
    DELETE FROM audit WHERE run_id IN
    (SELECT run_id FROM audit WHERE kind = 'delete' AND at < ? ORDER BY at LIMIT ?)
"""


class SqliteAudit:
    """Reads on the connection that searches, writes through the file's one writer."""

    def __init__(self, searcher: Searcher, writer: SqliteWriter) -> None:
        self._searcher = searcher
        self._writer = writer

    async def page(
        self, owner: str | None, query: AuditQuery, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        kinds = json.dumps(query.kinds) if query.kinds else None
        asked = {
            "owner = ?": owner,
            "number < ?": before,
            "run_id = ?": query.run_id,
            "at >= ?": query.since,
            "at < ?": query.before,
            "kind IN (SELECT value FROM json_each(?))": kinds,
        }
        given = {condition: value for condition, value in asked.items() if value is not None}
        where = " AND ".join(given) or "TRUE"
        rows = await self._searcher.fetch(
            owner or "",
            f"SELECT number, at, owner, run_id, kind, actor FROM audit WHERE {where}"  # noqa: S608 - constants only
            " ORDER BY number DESC LIMIT ?",
            (*given.values(), limit + 1),
        )
        entries = [
            AuditEntry(at=at, kind=kind, by=actor, owner=of, run_id=run_id)
            for _, at, of, run_id, kind, actor in rows[:limit]
        ]
        return entries, rows[limit - 1][0] if len(rows) > limit else None

    async def prune(self, moment: float, *, limit: int) -> int:
        return await self._writer.write((_OF_REMOVED, (moment, limit)))


_FIRST_ENTRY = "CASE WHEN {0}forked_from IS NULL THEN 'post' ELSE 'fork' END"

_DECIDED = """
    CASE json_extract({0}decision, '$.what') WHEN 'approved' THEN 'approve'
    WHEN 'rejected' THEN 'reject' WHEN 'expired' THEN 'expire' ELSE 'resolve' END
"""

_RETRIED, _ANSWERED = (
    f"json_extract({{0}}{order}, '$.at'), {{0}}owner, {{0}}run_id, {{1}},"
    f" json_extract({{0}}{order}, '$.by')"
    for order in ("retry", "decision")
)


def _noting(name: str, event: str, when: str, values: str) -> str:
    return f"""
    CREATE TRIGGER audit_{name} AFTER {event} ON runs WHEN {when} BEGIN
        INSERT INTO audit (at, owner, run_id, kind, actor) SELECT {values};
    END
    """


#: Who did what, beyond the run; what is known of runs that there are is the first of it.
AUDIT_TABLES = (
    "ALTER TABLE runs ADD COLUMN posted_by TEXT",
    "ALTER TABLE runs ADD COLUMN traceparent TEXT",
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        owner TEXT NOT NULL,
        run_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL
    )
    """,
    f"""
    INSERT INTO audit (at, owner, run_id, kind, actor) SELECT * FROM (
        SELECT created_at AS at, owner, run_id, {_FIRST_ENTRY.format("")}, owner FROM runs
        UNION ALL SELECT cancel_at, owner, run_id, 'cancel', coalesce(cancel_by, 'server')
        FROM runs WHERE cancel_at IS NOT NULL
        UNION ALL SELECT {_RETRIED.format("", "'retry'")} FROM runs WHERE retry IS NOT NULL
        UNION ALL SELECT {_ANSWERED.format("", _DECIDED.format(""))}
        FROM runs WHERE decision IS NOT NULL
    ) ORDER BY at
    """,  # noqa: S608 - constants only
    "CREATE INDEX audit_of_owner ON audit (owner, number)",
    "CREATE INDEX audit_of_run ON audit (run_id)",
    "CREATE INDEX audit_of_removed ON audit (at) WHERE kind = 'delete'",
    _noting(
        "posted",
        "INSERT",
        "TRUE",
        f"new.created_at, new.owner, new.run_id, {_FIRST_ENTRY.format('new.')},"
        " coalesce(new.posted_by, new.owner)",
    ),
    _noting(
        "cancelled",
        "UPDATE OF cancel_at",
        "old.cancel_at IS NULL AND new.cancel_at IS NOT NULL",
        "new.cancel_at, new.owner, new.run_id, 'cancel', coalesce(new.cancel_by, 'server')",
    ),
    _noting(
        "retried",
        "UPDATE OF retry",
        "new.retry IS NOT NULL AND new.generation > old.generation",
        _RETRIED.format("new.", "'retry'"),
    ),
    _noting(
        "decided",
        "UPDATE OF decision",
        "new.decision IS NOT NULL AND new.decision IS NOT old.decision",
        _ANSWERED.format("new.", _DECIDED.format("new.")),
    ),
)
