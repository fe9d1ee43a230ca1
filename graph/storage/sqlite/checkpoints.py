"""LangGraph's SQLite saver, its writes sent to the file's one writer."""

from collections.abc import Iterable, Sequence
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.sql.checkpoints import FoldingSaver
from graph.storage.sqlite.writer import SqliteWriter
from graph.storage.storage import strict_serializer


class SqliteSaver(FoldingSaver, AsyncSqliteSaver):
    """Reads as the stock saver does, on a connection of its own. The tables must exist."""

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(writer, connection, serde=strict_serializer())
        self.is_setup = True

    async def _rows(self, sql: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        return await self.conn.execute_fetchall(sql, values)
