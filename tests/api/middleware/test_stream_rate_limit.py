"""How requests for streams are let in: one at once, many one after the other."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from api.middleware.limits import INTERVAL, StreamRateLimit


class Inside:
    """Notes when it is reached, by the loop's clock."""

    def __init__(self) -> None:
        self.reached: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(asyncio.get_running_loop().time())


async def visits(path: str, count: int) -> tuple[float, list[float]]:
    """When so many came at once, and when each was let in."""
    inside = Inside()
    door = StreamRateLimit(inside)
    nothing: Any = None
    came = asyncio.get_running_loop().time()
    scope = {"type": "http", "path": path}
    await asyncio.gather(*(door(scope, nothing, nothing) for _ in range(count)))
    return came, inside.reached


async def test_many_watchers_are_let_in_at_a_bounded_rate() -> None:
    came, reached = await visits("/runs/1/stream", 50)
    assert len(reached) == 50
    # A timer may ring a millisecond early.
    assert all(at - came >= place * INTERVAL - 0.002 for place, at in enumerate(reached))


async def test_one_that_comes_alone_does_not_wait() -> None:
    """It is let in without giving way to anything else."""
    inside = Inside()
    nothing: Any = None
    coming = StreamRateLimit(inside)({"type": "http", "path": "/runs/stream"}, nothing, nothing)
    with pytest.raises(StopIteration):
        coming.send(None)
    assert len(inside.reached) == 1


async def test_what_is_no_stream_is_not_held_up() -> None:
    """However much comes at once."""
    inside = Inside()
    door = StreamRateLimit(inside)
    nothing: Any = None
    for _ in range(500):
        with pytest.raises(StopIteration):
            door({"type": "http", "path": "/runs"}, nothing, nothing).send(None)
    assert len(inside.reached) == 500
