"""What owners have spent: one row for an owner and a day, and a mark in the run."""

from graph.storage.sql.statements import Reader, Statement, Writer
from graph.storage.storage import Spent
from nodes.planning.model import Call, Cost

#: Keeps the row of a day to this transaction, so that nobody else sets aside between the look at
#: what is left, which the statement after it takes, and the taking of it.
_LOCK = (
    "INSERT INTO spending (day, owner, usd, tokens, calls) VALUES (?, ?, 0, 0, 0)"
    " ON CONFLICT (day, owner) DO UPDATE SET calls = spending.calls"
)

#: Changes a row where the call fits; beside a price that is not known none does.
_HOLD = """
    INSERT INTO spending_held (run, call, day, owner, usd, tokens)
    SELECT ?, ?, ?, ?, ?, ? FROM spending AS spent,
        (SELECT coalesce(sum(usd), 0) AS usd, coalesce(sum(tokens), 0) AS tokens
            FROM spending_held WHERE day = ? AND owner = ?) AS held
    WHERE spent.day = ? AND spent.owner = ?
        AND (? IS NULL OR ? <= ? - spent.usd - held.usd)
        AND (? IS NULL OR ? <= ? - spent.tokens - held.tokens)
    ON CONFLICT (run, call) DO UPDATE SET day = excluded.day, owner = excluded.owner,
        usd = excluded.usd, tokens = excluded.tokens
"""

_RELEASE = "DELETE FROM spending_held WHERE run = ? AND call = ?"

_LEFT = "SELECT run, call, day, owner, usd, tokens FROM spending_held WHERE run = coalesce(?, run)"

_FIND = "SELECT usd, tokens, calls FROM spending WHERE day = ? AND owner = ?"

_HELD = (
    "SELECT sum(usd), CAST(coalesce(sum(tokens), 0) AS BIGINT), count(*) FROM spending_held"
    " WHERE day = ? AND owner = ?"
)

_FORGET = "DELETE FROM spending WHERE day < ?"

#: Adds what was not marked before, and what belongs to no run.
_ADD = (
    "INSERT INTO spending (day, owner, usd, tokens, calls) SELECT ?, ?, ?, ?, 1"
    " WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ? AND counted = ?)"
    " ON CONFLICT (day, owner) DO UPDATE SET usd = spending.usd + excluded.usd,"
    " tokens = spending.tokens + excluded.tokens, calls = spending.calls + excluded.calls"
)

#: Right after that, so that it changes a row where the call of a run was added.
_MARK = "UPDATE runs SET counted = ? WHERE run_id = ? AND coalesce(counted, '') <> ?"

_IS_KEPT = "SELECT 1 FROM runs WHERE run_id = ?"


class SqlSpending:
    """Writes through the process's one writer; days of more than a year ago are forgotten."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def of(self, owner: str, day: str) -> Spent:
        rows = await self._reader.execute_fetchall(_FIND, (day, owner))
        return next((Spent(*row) for row in rows), Spent())

    async def held(self, owner: str, day: str) -> Spent:
        [row] = await self._reader.execute_fetchall(_HELD, (day, owner))
        return Spent(*row)

    async def count_left(self, of_run: str | None = None) -> None:
        # A run makes its call again, which is another one to the provider.
        for run_id, key, day, owner, usd, tokens in await self._reader.execute_fetchall(
            _LEFT, (of_run,)
        ):
            await self._writer.write(
                (_RELEASE, (run_id, key)),
                _added(day, owner, Cost(usd=usd, tokens=tokens)),
                durable=True,
            )

    async def hold(
        self, call: Call, day: str, cost: Cost, *, usd: float | None, tokens: int | None
    ) -> bool:
        account = day, call.owner
        fits = (usd, cost.usd, usd, tokens, cost.tokens, tokens)
        held = (call.run_id, call.key, *account, cost.usd, cost.tokens, *account, *account, *fits)
        return await self._writer.write((_LOCK, account), (_HOLD, held), durable=True) > 0

    async def release(self, call: Call) -> None:
        await self._writer.write((_RELEASE, (call.run_id, call.key)))

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        marked = await self._writer.write(
            (_FORGET, (f"{int(day[:4]) - 1:04}{day[4:]}",)),
            (_RELEASE, (call.run_id, call.key)),
            _added(day, call.owner, cost, call.run_id, call.key),
            (_MARK, (call.key, call.run_id, call.key)),
            durable=True,
        )
        if marked:
            return True
        # Of what belongs to no run, as a preview, nothing is marked and each call is added.
        return not [*await self._reader.execute_fetchall(_IS_KEPT, (call.run_id,))]


def _added(
    day: str, owner: str, cost: Cost, run_id: str | None = None, key: str | None = None
) -> Statement:
    return _ADD, (day, owner, cost.usd, cost.tokens, run_id, key)
