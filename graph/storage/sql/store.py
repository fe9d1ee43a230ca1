"""LangGraph's store where tools use it: in the event loop, or in threads of their own."""

import asyncio
from collections.abc import Iterable

from langgraph.store.base import BaseStore, Op, Result


class LoopStore(BaseStore):
    """A store whose batches are executed in the event loop that it was made in."""

    supports_ttl = True

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The same for a tool in a thread of its own.

        Raises `asyncio.InvalidStateError` on the loop's thread, which would wait for itself.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise asyncio.InvalidStateError("call `abatch`, `aget`, … where the event loop runs")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()
