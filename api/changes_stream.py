"""`GET /runs/stream`: which runs change, for whoever shows many of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.connection import unless_gone
from api.pulse import Pulse
from api.sse import RETRY, message, stream
from graph.runs.watch import Change, Changes

#: The shortest time between two messages, in seconds: changes in between are one.
PAUSE = 0.1


class ChangesStream(Response):
    """A watcher of runs for as long as its client stays; `heartbeat` in seconds."""

    def __init__(self, following: AbstractContextManager[Changes], *, heartbeat: float) -> None:
        super().__init__()
        self._following = following
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        with self._following as changes:
            await unless_gone(receive, stream(send, self._messages(changes)))

    async def _messages(self, changes: Changes) -> AsyncGenerator[bytes, None]:
        pulse = Pulse(self._heartbeat)
        yield RETRY
        while not changes.closed:
            changed = await pulse.wait(changes.next()) or []
            if told := pulse.beat() + b"".join(map(_changed, changed)):
                yield told
            if changed:
                await asyncio.sleep(PAUSE)
        yield RETRY


def _changed(change: Change) -> bytes:
    return message("run.changed", change)
