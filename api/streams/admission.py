"""How many streams one owner may have, and how those that come by the hundred are let in.

One by one, so that no run waits for them.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.access import OWNER
from api.streams.sse import unless_gone

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
