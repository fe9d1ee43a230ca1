"""LangGraph's SQLite saver, its writes sent to the file's one writer."""

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.sql.checkpoints import FoldingSaver
from graph.storage.sqlite.writer import SqliteWriter
from graph.storage.storage import strict_serializer


class SqliteSaver(FoldingSaver, AsyncSqliteSaver):
    """Reads as the stock saver does, on a connection of its own. The tables must exist."""

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(connection, writer, connection, serde=strict_serializer())
        self.is_setup = True
