"""LangGraph's SQLite store, its writes sent to the file's one writer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiosqlite
from langgraph.store.base import PutOp
from langgraph.store.sqlite.aio import AsyncSqliteStore

from graph.sqlite_writer import SqliteWriter


class SqliteStore(AsyncSqliteStore):
    """A store whose batches are written all or not at all, and never find the file locked.

    The stock store begins deferred, so that a batch which reads and then writes fails with
    "database is locked" when another connection wrote in between; it commits what a failing batch
    had written so far; and a batch that is cancelled leaves its transaction open. This overrides
    two of its private methods, `_cursor` and `_batch_put_ops`; a test pins that they are used.
    """

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(connection)
        self._writer = writer

    async def aclose(self) -> None:
        """End the task that gathers its batches; asyncio would complain of it once it is freed."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    @asynccontextmanager
    async def _cursor(self, *, transaction: bool = True) -> AsyncIterator[aiosqlite.Cursor]:
        async with self.lock, self.conn.cursor() as cursor:
            yield cursor

    async def _batch_put_ops(
        self, put_ops: Sequence[tuple[int, PutOp]], cur: aiosqlite.Cursor
    ) -> None:
        statements, _ = self._prepare_batch_PUT_queries(put_ops)
        await self._writer.write(*statements)
