"""What owners have spent, on SQLite: one row for an owner and a day, and a mark in the run."""

import aiosqlite

from graph.storage.sqlite.writer import SqliteWriter
from graph.storage.storage import Spent
from nodes.planning.model import Call, Cost

_HOLD = "INSERT OR REPLACE INTO spending_held VALUES (?, ?, ?, ?, ?, ?)"

_RELEASE = "DELETE FROM spending_held WHERE run = ? AND call = ?"

_LEFT = "SELECT run, call, day, owner, usd, tokens FROM spending_held"

_FIND = "SELECT usd, tokens, calls FROM spending WHERE day = ? AND owner = ?"

_HELD = (
    "SELECT sum(usd), coalesce(sum(tokens), 0), count(*) FROM spending_held"
    " WHERE day = ? AND owner = ?"
)

_FORGET = "DELETE FROM spending WHERE day < date(?, '-1 year')"

_MARK = "UPDATE runs SET counted = ? WHERE run_id = ? AND counted IS NOT ?"

#: Right after the mark: adds what was marked just now, and what belongs to no run.
_ADD = (
    "INSERT INTO spending (day, owner, usd, tokens, calls) SELECT ?, ?, ?, ?, 1"
    " WHERE changes() > 0 OR NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ?)"
    " ON CONFLICT (day, owner) DO UPDATE SET usd = usd + excluded.usd,"
    " tokens = tokens + excluded.tokens, calls = calls + excluded.calls"
)


class SqliteSpending:
    """Writes through the file's one writer; days of more than a year ago are forgotten."""

    def __init__(self, reader: aiosqlite.Connection, writer: SqliteWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def of(self, owner: str, day: str) -> Spent:
        rows = await self._reader.execute_fetchall(_FIND, (day, owner))
        return next((Spent(*row) for row in rows), Spent())

    async def held(self, owner: str, day: str) -> Spent:
        [row] = await self._reader.execute_fetchall(_HELD, (day, owner))
        return Spent(*row)

    async def count_left(self) -> None:
        """Count, with all that they may have cost, the calls that a killed process has left.

        A run makes its call again, which is another one to whoever is paid.
        """
        for run_id, key, day, owner, usd, tokens in await self._reader.execute_fetchall(_LEFT):
            await self._writer.write(
                (_RELEASE, (run_id, key)),
                (_ADD, (day, owner, usd, tokens, run_id)),
                durable=True,
            )

    async def hold(self, call: Call, day: str, cost: Cost) -> None:
        held = (call.run_id, call.key, day, call.owner, cost.usd, cost.tokens)
        await self._writer.write((_HOLD, held), durable=True)

    async def release(self, call: Call) -> None:
        await self._writer.write((_RELEASE, (call.run_id, call.key)))

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        written = await self._writer.write(
            (_FORGET, (day,)),
            (_RELEASE, (call.run_id, call.key)),
            (_MARK, (call.key, call.run_id, call.key)),
            (_ADD, (day, call.owner, cost.usd, cost.tokens, call.run_id)),
            durable=True,
        )
        return written > 0
