"""Server-sent events on the wire, as WHATWG's HTML standard defines them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.types import Receive, Send

from api.views.answers import Heartbeat, shape

#: Tells when to come again: after a connection that broke, and after the server's end.
RETRY = b"retry: 2000\n\n"

#: A stream is never kept by anybody on its way, nor held back until there is more of it.
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def message(kind: str, data: bytes, *, number: int | None = None) -> bytes:
    """One event; `number` is its id, from which a client that comes again goes on.

    JSON escapes line ends, so that any `data` is one line.
    """
    numbered = b"" if number is None else b"id: %d\n" % number
    return numbered + b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


async def stream(send: Send, messages: AsyncGenerator[bytes, None]) -> None:
    """Answer with the messages as they come; a reader that is slow holds up nobody else."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with aclosing(messages):
        async for part in messages:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


# Work that is done for one client and for nobody once it has gone.


T = TypeVar("T")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns or raises, or None once the client has gone; it is cancelled then.

    The request's body has to be read before. Raises what `receive` raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return leaving.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# Heartbeats: by them a client tells a run in which nothing happens from a connection that broke.
#
# They are events with a name, since a page cannot see a comment, and without an id, since they are
# nothing to go on from.


#: How often a stream says that it is alive, in seconds.
HEARTBEAT = 5.0


class HeartbeatTimer:
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

    def due(self) -> bytes:
        """The heartbeat when it is due, else nothing."""
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return b""
        self._due = now + self._every
        return message("heartbeat", shape(Heartbeat).json({"server_time": time.time()}))
