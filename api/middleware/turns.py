"""Requests take turns: whoever has most of the event loop waits while others are there."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from api.middleware.access import OWNER, HostRefused, KeyRefused, NotJson, OriginRefused
from api.middleware.places import ALIVE, network
from graph.queue.share import METER, LoopShare, Meter, Metered


class CountedTime:
    """Counts how long the loop works for a request, with all that is done to answer it."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        METER.set(meter := Meter(self._share))  # each request is served in a context of its own
        try:
            # What every middleware returns is a coroutine.
            answering = cast("Coroutine[Any, Any, None]", self._app(scope, receive, send))
            await Metered(answering, meter)
        finally:
            meter.end()


class RefusedTurns:
    """Lets an anonymous caller who is refused wait for the turn of his address to be told so."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (HostRefused, OriginRefused, NotJson, KeyRefused):
            await _turn(self._share, scope)
            raise


class Turns:
    """Lets a request in when it is the turn of its owner; that for `ALIVE` at once."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != ALIVE:
            await _turn(self._share, scope)
        await self._app(scope, receive, send)


async def _turn(share: LoopShare, scope: Scope) -> None:
    if (meter := METER.get()) is None:
        return
    if owner := scope.get(OWNER):
        meter.assign(share.of(owner))
    else:
        client = scope.get("client")
        meter.assign(share.of_anonymous(network(client[0]) if client else ""))
    await share.turn()


# Reading what comes, in turns.


#: How long nothing is read of a connection at a time, in seconds.
PAUSE = 0.02


class PacedFlow(FlowControl):
    """uvicorn's flow of a connection, of which nothing is read for a while where we say so."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self._asked = self._stopped = False  # by uvicorn, and by us for good
        self._held: asyncio.TimerHandle | None = None

    def pause_reading(self) -> None:
        """Nothing more is wanted."""
        self._asked = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """More is wanted."""
        self._asked = False
        self._go_on()

    def hold(self, seconds: float) -> None:
        """Read nothing for so long, whatever is wanted."""
        if self._held is None and not self._transport.is_closing():
            super().pause_reading()
            self._held = self._loop.call_later(seconds, self._release)

    def stop(self) -> None:
        """Read nothing any more."""
        self._stopped = True
        if not self._transport.is_closing():
            super().pause_reading()

    def _release(self) -> None:
        self._held = None
        self._go_on()

    def _go_on(self) -> None:
        stays = self._asked or self._stopped or self._held is not None
        if not stays and not self._transport.is_closing():
            super().resume_reading()
