"""Server-sent events as WHATWG's HTML standard defines them, and how many streams there may be.

An owner may have so many streams; those that come by the hundred are let in one by one, so that no
run waits for them.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.access import OWNER
from api.views import Heartbeat, shape

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


#: The time between two of them when many come at once, in seconds; one costs a sixteenth.
INTERVAL = 0.008

#: The path of MCP, at which a call may be answered by a stream.
CALLS = "/mcp"


class TooManyStreams(Exception):
    """This owner has `limit` streams, open or waiting to be let in."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class StreamLimit:
    """Lets requests for streams in at a bounded rate; one that comes alone does not wait.

    Of one owner at most `per_owner` are open or wait; a call at `CALLS`, whose answer may be a
    stream, is one of them. Owners take turns, and who goes away gives
    back the place. Raises `TooManyStreams`.
    """

    def __init__(self, app: ASGIApp, per_owner: int) -> None:
        self._app = app
        self._per_owner = per_owner
        self._open: Counter[str | None] = Counter()
        self._next = 0.0  # the next free moment, by the loop's clock
        self._waiting: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        streams = scope["type"] == "http" and scope["path"].endswith("/stream")
        if not streams and (scope["type"] != "http" or scope["path"] != CALLS):
            await self._app(scope, receive, send)
            return
        owner = scope.get(OWNER)
        if self._open[owner] >= self._per_owner:
            raise TooManyStreams(self._per_owner)
        self._open[owner] += 1
        try:
            now = asyncio.get_running_loop().time()
            if not streams or scope.get("method") == "POST":
                pass  # it has a body, which nobody but its reader can wait for
            elif self._timer is None and self._next <= now:
                self._next = now + INTERVAL
            elif not await unless_gone(receive, self._admitted(owner)):
                return
            await self._app(scope, receive, send)
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    async def _admitted(self, owner: str | None) -> bool:
        """Wait to be let in."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(owner, deque())
        waiter = loop.create_future()
        waiting.append(waiter)
        if self._timer is None:
            self._timer = loop.call_at(self._next, self._let_in)
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                with suppress(ValueError):
                    waiting.remove(waiter)
        return True

    def _let_in(self) -> None:
        """Let in the next one, of the owner who is due."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting:
            owner, waiting = self._waiting.popitem(last=False)
            while waiting:
                waiter = waiting.popleft()
                if waiter.done():
                    continue
                waiter.set_result(None)
                if waiting:
                    self._waiting[owner] = waiting
                self._next = loop.time() + INTERVAL
                if self._waiting:
                    self._timer = loop.call_at(self._next, self._let_in)
                return
