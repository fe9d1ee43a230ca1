"""The outbox: a trigger on the table of runs fills it, in the change's transaction."""

import json
import time
from collections.abc import Collection, Mapping, Sequence

from graph.settings.configured import site_of
from graph.state import Status
from graph.storage.outbox import Delivery, Undelivered
from graph.storage.sql.audit import DELIVERED
from graph.storage.sql.statements import JsonLists, Reader, Writer

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
