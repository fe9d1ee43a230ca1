"""`GET /runs/{run_id}/stream`: the events of one run, those of the past and then as they come."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.connection import unless_gone
from api.frames import Frames
from api.pulse import Pulse
from api.sse import RETRY, stream
from graph.runs.watch import Feed


class EventNotFound(Exception):
    """What a reader wants to go on from has not happened; the run has `last` events."""

    def __init__(self, number: int, last: int) -> None:
        super().__init__(f"there is no event {number}, but {last} so far")
        self.number = number
        self.last = last


def check_position(feed: Feed, number: int) -> None:
    """Raises `EventNotFound` where a reader has seen more than there is."""
    if number > len(feed.events):
        raise EventNotFound(number, len(feed.events))


class RunStream(Response):
    """A watcher of a run for as long as its client stays; `heartbeat` in seconds.

    It watches only while it is being sent, so that nothing is left of a client that went before.
    Sending it raises `RunNotFound`, `StorageUnavailable` and `EventNotFound` ahead of the answer.
    """

    def __init__(
        self,
        watching: AbstractAsyncContextManager[Feed],
        *,
        after: int,
        frames: Frames,
        heartbeat: float,
    ) -> None:
        super().__init__()
        self._watching = watching
        self._after = after
        self._frames = frames
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        async with self._watching as feed:
            check_position(feed, self._after)
            if feed.ended and self._after == len(feed.events):
                # The only answer that keeps a browser from coming again.
                await Response(None, 204, {"Cache-Control": "no-store"})(scope, receive, send)
                return
            await unless_gone(receive, stream(send, self._messages(feed)))

    async def _messages(self, feed: Feed) -> AsyncGenerator[bytes, None]:
        pulse = Pulse(self._heartbeat)
        told, number = RETRY, self._after
        while True:
            due, number = self._frames.after(feed, number)
            if told or due:
                yield told + due
            told = b""
            if number < len(feed.events):
                continue
            if feed.ended:
                return
            if feed.closed:
                yield RETRY
                return
            await pulse.wait(feed.after(number))
            told = pulse.beat()
