"""LangGraph's SQLite saver, its writes sent to the file's one writer."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph.storage.conversion import converted
from graph.storage.sqlite.writer import SqliteWriter
from graph.storage.storage import strict_serializer

_CHECKPOINT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id,"
    " parent_checkpoint_id, type, checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_WRITE = (
    " INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel,"
    " type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SqliteSaver(AsyncSqliteSaver):
    """Reads as the stock saver does, on a connection of its own; writes the same rows.

    The stock saver needs three hops to its connection's thread for a write and makes every write a
    transaction. The tables are the stock saver's and must exist; tests read with one what the
    other wrote.
    """

    def __init__(self, connection: aiosqlite.Connection, writer: SqliteWriter) -> None:
        super().__init__(connection, serde=strict_serializer())
        self.is_setup = True
        self._writer = writer
        #: Threads that are known to have no checkpoint yet, so that none has to be looked for.
        self.new_threads: set[str] = set()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id = config["configurable"]["thread_id"]
        if thread_id in self.new_threads:
            self.new_threads.discard(thread_id)  # true once: what follows may write
            return None
        found = await super().aget_tuple(config)
        return converted(found) if found else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name there
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        async for found in super().alist(config, filter=filter, before=before, limit=limit):
            yield converted(found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        place = config["configurable"]
        thread_id, namespace = str(place["thread_id"]), place["checkpoint_ns"]
        kind, stored = self.serde.dumps_typed(checkpoint)
        described = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False)
        row = (
            thread_id,
            namespace,
            checkpoint["id"],
            place.get("checkpoint_id"),
            kind,
            stored,
            described.encode("utf-8", "ignore"),
        )
        await self._writer.write((_CHECKPOINT, row))
        return {
            "configurable": {
                "thread_id": place["thread_id"],
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        place = config["configurable"]
        key = (str(place["thread_id"]), str(place["checkpoint_ns"]), str(place["checkpoint_id"]))
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        insert = ("INSERT OR REPLACE" if special else "INSERT OR IGNORE") + _WRITE
        await self._writer.write(
            *(
                (
                    insert,
                    (
                        *key,
                        task_id,
                        task_path,
                        WRITES_IDX_MAP.get(channel, position),
                        channel,
                        *self.serde.dumps_typed(value),
                    ),
                )
                for position, (channel, value) in enumerate(writes)
            )
        )

    async def adelete_thread(self, thread_id: str) -> None:
        await self._writer.write(
            ("DELETE FROM checkpoints WHERE thread_id = ?", (str(thread_id),)),
            ("DELETE FROM writes WHERE thread_id = ?", (str(thread_id),)),
        )
