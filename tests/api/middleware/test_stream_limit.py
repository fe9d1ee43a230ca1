"""How requests for streams are let in: one at once, many one after the other."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from api.middleware import guards
from api.middleware.access import OWNER
from api.middleware.guards import INTERVAL, StreamLimit, TooManyStreams


class Inside:
    """Notes when it is reached, by the loop's clock."""

    def __init__(self) -> None:
        self.reached: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(asyncio.get_running_loop().time())


async def stays() -> Any:
    """What a client sends that stays: nothing."""
    await asyncio.get_running_loop().create_future()


async def visits(path: str, count: int) -> tuple[float, list[float]]:
    """When so many came at once, and when each was let in."""
    inside = Inside()
    door = StreamLimit(inside, 500)
    nothing: Any = None
    came = asyncio.get_running_loop().time()
    scope = {"type": "http", "path": path}
    await asyncio.gather(*(door(scope, stays, nothing) for _ in range(count)))
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
    coming = StreamLimit(inside, 500)({"type": "http", "path": "/runs/stream"}, nothing, nothing)
    with pytest.raises(StopIteration):
        coming.send(None)
    assert len(inside.reached) == 1


async def test_what_is_no_stream_is_not_held_up() -> None:
    """However much comes at once."""
    inside = Inside()
    door = StreamLimit(inside, 500)
    nothing: Any = None
    for _ in range(500):
        with pytest.raises(StopIteration):
            door({"type": "http", "path": "/runs"}, nothing, nothing).send(None)
    assert len(inside.reached) == 500


async def test_owners_take_turns() -> None:
    """Who asks for many does not hold up who asks for one."""
    inside = Inside()
    order: list[str] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        order.append(scope[OWNER])
        await inside(scope, receive, send)

    door = StreamLimit(note, 500)
    nothing: Any = None

    def come(owner: str) -> Any:
        return door({"type": "http", "path": "/runs/stream", OWNER: owner}, stays, nothing)

    await asyncio.gather(*(come("many") for _ in range(20)), come("one"))
    assert order.index("one") <= 3


async def test_who_goes_away_gives_back_the_place() -> None:
    inside = Inside()
    door = StreamLimit(inside, 1000)
    nothing: Any = None
    scope = {"type": "http", "path": "/runs/stream"}

    async def leaves() -> Any:
        return {"type": "http.disconnect"}

    await door(scope, stays, nothing)
    await asyncio.gather(*(door(scope, leaves, nothing) for _ in range(900)))
    before = len(inside.reached)
    came = asyncio.get_running_loop().time()
    await door(scope, stays, nothing)
    assert before < 450  # not each has cost its interval
    assert inside.reached[-1] - came < 100 * INTERVAL


async def test_those_that_wait_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "INTERVAL", 600.0)
    door = StreamLimit(Inside(), 50)
    nothing: Any = None
    scope = {"type": "http", "path": "/runs/stream"}
    # The first is let in at once, and ends.
    tasks = [asyncio.create_task(door(scope, stays, nothing)) for _ in range(52)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    refused = [task for task in done if task.exception()]
    assert [type(task.exception()) for task in refused] == [TooManyStreams]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_so_many_of_one_owner_may_be_open() -> None:
    """One that ends gives back its place, and other owners have places of their own."""
    ends = asyncio.Event()

    async def stay(scope: Scope, receive: Receive, send: Send) -> None:
        await ends.wait()

    door = StreamLimit(stay, 2)
    nothing: Any = None

    def come(owner: str) -> asyncio.Task[None]:
        scope = {"type": "http", "path": "/runs/stream", OWNER: owner}
        return asyncio.create_task(door(scope, stays, nothing))

    inside = [come("ann"), come("ann")]
    with pytest.raises(TooManyStreams, match="2"):
        await come("ann")
    inside.append(come("bob"))
    ends.set()
    await asyncio.gather(*inside)
    await come("ann")
