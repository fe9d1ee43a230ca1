"""Watchers that come by the hundred are let in one by one, so that no run waits for them."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

#: The time between two of them when many come at once, in seconds; one costs a sixteenth.
INTERVAL = 0.008


class Arrivals:
    """Lets requests for streams in at a bounded rate; one that comes alone does not wait."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._next = 0.0  # the next free moment, by the loop's clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        if scope["type"] == "http" and scope["path"].endswith("/stream"):
            now = asyncio.get_running_loop().time()
            moment = max(self._next, now)
            self._next = moment + INTERVAL
            if moment > now:
                await asyncio.sleep(moment - now)
        await self._app(scope, receive, send)
