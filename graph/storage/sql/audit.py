"""Who did what: triggers on the table of runs write it down, in the change's transaction.

What is no change of a run's row writes its own entry, in its transaction.
"""

from collections.abc import Sequence

from graph.storage.audit import AuditEntry, AuditQuery
from graph.storage.sql.statements import Fetch, Writer

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
