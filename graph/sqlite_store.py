"""LangGraph's SQLite store, safe beside a busy checkpointer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite
from langgraph.store.sqlite.aio import AsyncSqliteStore


class SqliteStore(AsyncSqliteStore):
    """A store whose batches are all or nothing and wait their turn for the write lock.

    The stock store begins deferred, so that a batch which reads and then writes fails with
    "database is locked" when another connection wrote in between, and it commits what a failing
    batch had written so far. This overrides its private `_cursor`; a test pins that it is used.
    """

    @asynccontextmanager
    async def _cursor(self, *, transaction: bool = True) -> AsyncIterator[aiosqlite.Cursor]:
        if not self.is_setup:
            await self.setup()
        async with self.lock, self.conn.cursor() as cursor:
            if not transaction:
                yield cursor
                return
            await cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                await cursor.execute("ROLLBACK")
                raise
            await cursor.execute("COMMIT")
