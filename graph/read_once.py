"""A saver that reads each checkpoint once, however many later ones are put together from it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    CheckpointTuple,
    DeltaChannelHistory,
    copy_checkpoint,
)


class ReadOnce(BaseCheckpointSaver[str]):
    """Lists another saver's checkpoints, and puts the log of each together from the one before it.

    The log of a state is the writes of all checkpoints before it: for a page of states the other
    saver would read nearly the same ones again for each. What was read is kept, so that this is
    for one call, and for reading only.
    """

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._read: dict[str, CheckpointTuple] = {}
        self._histories: dict[tuple[str, str], DeltaChannelHistory] = {}

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name there
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = self._saver.alist(config, filter=filter, before=before, limit=limit)
        later: dict[str, Any] = {}
        async for one in found:
            later = _shared(one.checkpoint["channel_values"], later)
            self._read[_id(one.config)] = one
            # A copy, since LangGraph notes in it what it applies to the state.
            yield one._replace(checkpoint=copy_checkpoint(one.checkpoint))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return {channel: await self._history(config, channel) for channel in channels}

    async def _history(self, config: RunnableConfig, channel: str) -> DeltaChannelHistory:
        place = _id(config), channel
        if place not in self._histories:
            self._histories[place] = await self._put_together(config, channel)
        return self._histories[place]

    async def _put_together(self, config: RunnableConfig, channel: str) -> DeltaChannelHistory:
        target = self._read.get(_id(config))
        origin = target.parent_config if target else None
        parent = self._read.get(_id(origin)) if origin else None
        if parent is None:
            found = await self._saver.aget_delta_channel_history(config=config, channels=[channel])
            return found[channel]
        writes = [write for write in parent.pending_writes or () if write[1] == channel]
        stored = parent.checkpoint["channel_values"]
        if channel in stored:
            return {"seed": stored[channel], "writes": writes}
        before = await self._history(parent.config, channel)
        return {**before, "writes": [*before["writes"], *writes]}


def _shared(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The values, those that have not changed as the same objects as in a later checkpoint.

    A plan of many steps in every checkpoint of a page is more than the garbage collector walks
    through in the time that it takes to read them.
    """
    for name, value in values.items():
        if name in later and later[name] == value:
            values[name] = later[name]
    return values


def _id(config: RunnableConfig) -> str:
    return str(config["configurable"]["checkpoint_id"])
