"""LangGraph's saver and store on SQLite, whose writes are sent to the file's one writer."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiosqlite
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.base import GetOp, Item, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.base import validate_op_namespace as check_labels
from langgraph.store.sqlite.base import SqliteStore as StockStore

from graph.storage.sql.checkpoints import FoldingSaver
from graph.storage.sql.statements import ONE_ITEM, LoopStore, bounds_of, item_of, within
from graph.storage.sqlite.connections import SqliteWriter
from graph.storage.storage import strict_serializer
from tools.receipts import waits_for_disk


class _UncutSaver(AsyncSqliteSaver):
    """Lists to the end, also where who asked has left meanwhile.

    The cursor of a statement that is cancelled is closed by nobody, and is kept by the thread of
    the connection until its next statement has begun: who asks next would see the database as
    it was for who has left.
    """

    async def alist(self, *place: Any, **bounds: Any) -> AsyncIterator[CheckpointTuple]:
        found = super().alist(*place, **bounds)
        for one in await asyncio.shield(asyncio.ensure_future(_all(found))):
            yield one


async def _all(found: AsyncIterator[CheckpointTuple]) -> list[CheckpointTuple]:
    return [one async for one in found]


class SqliteSaver(FoldingSaver, _UncutSaver):
    """Reads as the stock saver does, on a connection of its own. The tables must exist.

    No other program writes the file beside this one.
    """

    writes_differences = True

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(connection, writer, connection, serde=strict_serializer())
        self.is_setup = True


_WITHIN = f"{within('ORDER BY updated_at DESC')} LIMIT ? OFFSET ?"


class SqliteStore(LoopStore):
    """A store whose batches are written all or not at all, and never find the file locked.

    To read an owner's list takes less than to ask a thread for it: a reader of a log of writes
    (WAL) waits for nobody. The stock store gathers batches in a task and sends each to a thread,
    begins deferred, so that a batch which reads and then writes fails with "database is locked"
    when another connection wrote in between, commits what a failing batch had written so far, and
    leaves the transaction of a cancelled one open. Its tables and its statements are used; what is
    written comes from its private `_prepare_batch_PUT_queries`, as a test pins.

    `connection` is this thread's, which is the loop's; nothing is written on it once it is set up.
    """

    def __init__(self, connection: sqlite3.Connection, writer: SqliteWriter) -> None:
        super().__init__()
        self._connection = connection
        self._stock = StockStore(connection)
        self._writer = writer

    def setup(self) -> None:
        """Make the tables, or bring them to the version of the library."""
        self._stock.setup()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Read what is asked for as it was before this batch, then write what is to be written."""
        ops = list(ops)
        results: list[Any] = [None] * len(ops)
        reads = [(place, op) for place, op in enumerate(ops) if not isinstance(op, PutOp)]
        puts = [(place, op) for place, op in enumerate(ops) if isinstance(op, PutOp)]
        if reads:
            [*asked] = (op for _, op in reads)
            found = self._stock.batch(asked) if len(asked) > 1 else [self._read(*asked)]
            for (place, _), result in zip(reads, found, strict=True):
                results[place] = result
        if puts:
            statements, _ = self._stock._prepare_batch_PUT_queries(puts)
            durable = any(waits_for_disk(op) for _, op in puts)
            await self._writer.write(*statements, durable=durable)
        return results

    def _read(self, op: Op) -> Result:
        """What one operation reads, as the stock store has it.

        That one looks for what lies below a namespace with GLOB, which SQLite plans anew each time.
        """
        check_labels(op)
        match op:
            case GetOp():
                place = ".".join(op.namespace), op.key
                rows = self._connection.execute(ONE_ITEM, place).fetchall()
                return next((item_of(Item, row) for row in rows), None)
            case SearchOp(query=None) if op.namespace_prefix and not op.filter:
                bounds = *bounds_of(op.namespace_prefix), op.limit, op.offset
                rows = self._connection.execute(_WITHIN, bounds).fetchall()
                return [item_of(SearchItem, row) for row in rows]
        return self._stock.batch([op])[0]
