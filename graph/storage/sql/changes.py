"""Who did what, and what is to be posted: triggers on the table of runs write both down.

They do so in the transaction of the change. What is no change of a run's row writes its own entry,
in its transaction.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence

from graph.settings.configured import site_of
from graph.state import Status
from graph.storage.changes import AuditEntry, AuditQuery, Delivery, Undelivered
from graph.storage.sql.statements import Fetch, JsonLists, Reader, Writer

#: An endpoint was told, which is named, of the message with this number.
DELIVERED = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'webhook', ? FROM outbox JOIN runs USING (run_id)
    WHERE outbox.number = ?
"""

#: Runs of a list are removed; a condition follows.
REMOVED = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'delete', ? FROM runs WHERE run_id IN
"""

_OF_REMOVED = """
    DELETE FROM audit WHERE run_id IN
    (SELECT run_id FROM audit WHERE kind = 'delete' AND at < ? ORDER BY at LIMIT ?)
"""

#: The kind of a run's first entry, and that of an answer by what it says.
FIRST_ENTRY = "CASE WHEN {0}forked_from IS NULL THEN 'post' ELSE 'fork' END"
ANSWER = """
    CASE {0} WHEN 'approved' THEN 'approve' WHEN 'rejected' THEN 'reject'
    WHEN 'expired' THEN 'expire' ELSE 'resolve' END
"""


class SqlAudit:
    """Reads as searches do, by `fetch`, and writes through the process's one writer."""

    def __init__(self, fetch: Fetch, writer: Writer) -> None:
        self._fetch = fetch
        self._writer = writer

    async def page(
        self, owner: str | None, query: AuditQuery, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        asked = {
            "owner = ?": owner,
            "number < ?": before,
            "run_id = ?": query.run_id,
            "at >= ?": query.since,
            "at < ?": query.before,
        }
        given = {condition: value for condition, value in asked.items() if value is not None}
        kinds = f"kind IN ({', '.join('?' * len(query.kinds))})"
        where = " AND ".join([*given, *([kinds] if query.kinds else [])]) or "TRUE"
        rows = await self._fetch(
            owner or "",
            f"SELECT number, at, owner, run_id, kind, actor FROM audit WHERE {where}"  # noqa: S608 - constants only
            " ORDER BY number DESC LIMIT ?",
            (*given.values(), *query.kinds, limit + 1),
        )
        entries = [
            AuditEntry(at=at, kind=kind, by=actor, owner=of, run_id=run_id)
            for _, at, of, run_id, kind, actor in rows[:limit]
        ]
        return entries, rows[limit - 1][0] if len(rows) > limit else None

    async def prune(self, moment: float, *, limit: int) -> int:
        return await self._writer.write((_OF_REMOVED, (moment, limit)))


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
        SELECT 1 FROM ({{values}}) AS resting
        WHERE substr(endpoint || '/', 1, length(resting.value)) = resting.value
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


class SqlOutbox:
    """Reads as the index does, and writes through the process's one writer."""

    def __init__(self, reader: Reader, writer: Writer, lists: JsonLists) -> None:
        self._reader = reader
        self._writer = writer
        self._due = _DUE.format(values=lists.values)
        self.may_have_failed = True

    async def open(self) -> None:
        """Find out whether an earlier process has left anything that it tried without success."""
        rows = await self._reader.execute_fetchall(_ANY_FAILED)
        self.may_have_failed = bool([*rows])

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
        rows = await self._reader.execute_fetchall(self._due, values)
        return [Delivery(*row) for row in rows]

    async def take(self, number: int, now: float) -> bool:
        return True  # nobody else posts

    async def next_due(self, *, after: float) -> float | None:
        rows = await self._reader.execute_fetchall(_NEXT_DUE, (after,))
        return next((float(moment) for (moment,) in rows), None)

    async def delivered(self, one: Delivery) -> None:
        values = (time.time(), site_of(one.endpoint), one.number)
        delete = "DELETE FROM outbox WHERE number = ?"
        await self._writer.write((DELIVERED, values), (delete, (one.number,)))

    async def postpone(self, number: int, *, until: float, failure: str) -> None:
        self.may_have_failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET due = ?, failure = ?, attempts = attempts + 1 WHERE number = ?",
                (until, failure, number),
            )
        )

    async def give_up(self, number: int, *, failure: str) -> None:
        self.may_have_failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET given_up = TRUE, failure = ?, attempts = attempts + 1"
                " WHERE number = ?",
                (failure, number),
            )
        )

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        rows = await self._reader.execute_fetchall(_UNDELIVERED, (run_id,))
        return [Undelivered(*row) for row in rows]
