"""Heartbeats: by them a client tells a run in which nothing happens from a connection that broke.

They are events with a name, since a page cannot see a comment, and without an id, since they are
nothing to go on from.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from api.sse import message
from api.times import rfc3339

T = TypeVar("T")

#: How often a stream says that it is alive, in seconds.
HEARTBEAT = 5.0


class Pulse:
    """The heartbeats of one stream, `every` so many seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._due = asyncio.get_running_loop().time() + every

    async def wait(self, happening: Awaitable[T]) -> T | None:
        """What was waited for, or None when the next heartbeat is due before."""
        try:
            async with asyncio.timeout_at(self._due):
                return await happening
        except TimeoutError:
            return None

    def beat(self) -> bytes:
        """The heartbeat when it is due, else nothing."""
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return b""
        self._due = now + self._every
        return message("heartbeat", {"server_time": rfc3339(time.time())})
