"""The outbox: a trigger on the table of runs fills it, in the change's transaction."""

import json
from collections.abc import Mapping, Sequence

from graph.state import Status
from graph.storage.outbox import Delivery, Undelivered
from graph.storage.sql.statements import Reader, Writer

#: The first of each run and endpoint that is due.
FIRST = """
    SELECT number, run_id, endpoint, status, at, attempts FROM outbox AS one
    WHERE due <= ? AND NOT given_up AND NOT EXISTS (
        SELECT 1 FROM outbox AS earlier WHERE earlier.run_id = one.run_id
        AND earlier.endpoint = one.endpoint AND earlier.number < one.number
        AND NOT earlier.given_up
    ) ORDER BY number LIMIT ?
"""

_UNDELIVERED = """
    SELECT endpoint, status, at, attempts, failure, given_up FROM outbox
    WHERE run_id = ? AND failure IS NOT NULL ORDER BY number
"""


_ANY_FAILED = "SELECT 1 FROM outbox WHERE failure IS NOT NULL LIMIT 1"


class SqlOutbox:
    """Reads as the index does, and writes through the process's one writer."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
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

    async def due(self, now: float, *, limit: int) -> Sequence[Delivery]:
        rows = await self._reader.execute_fetchall(FIRST, (now, limit))
        return [Delivery(*row) for row in rows]

    async def next_due(self) -> float | None:
        [(moment,)] = await self._reader.execute_fetchall(
            "SELECT min(due) FROM outbox WHERE NOT given_up"
        )
        return None if moment is None else float(moment)

    async def delivered(self, number: int) -> None:
        await self._writer.write(("DELETE FROM outbox WHERE number = ?", (number,)))

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
                "UPDATE outbox SET given_up = TRUE, failure = ?, attempts = attempts + 1"
                " WHERE number = ?",
                (failure, number),
            )
        )

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        if not self._failed:
            return ()
        rows = await self._reader.execute_fetchall(_UNDELIVERED, (run_id,))
        return [Undelivered(*row) for row in rows]
