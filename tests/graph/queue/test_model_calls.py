"""Whose call of a model is next, and how many there are at once."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.queue.share import ModelCalls
from tests.support.patience import patience

ONE, OTHER = "some/model", "another/model"


class Calls:
    """Calls that take until they are told to end, in the order in which they had their slots."""

    def __init__(self, limit: int) -> None:
        self.calls = ModelCalls(limit, self._rests)
        self.begun: list[str] = []
        self.waited: dict[str, float] = {}
        self.suspended = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    @contextmanager
    def _suspended(self) -> Iterator[None]:
        self.suspended += 1
        try:
            yield
        finally:
            self.suspended -= 1

    def _rests(self) -> AbstractContextManager[None]:
        return self._suspended()

    async def make(
        self, name: str, owner: str = "me", *, later: bool = False, model: str = ONE
    ) -> None:
        """Begin a call; it has its slot by then, or waits for it."""
        self._ends[name] = asyncio.Event()

        async def call() -> None:
            async with self.calls.slot(model, owner, later=later) as waited:
                self.begun.append(name)
                self.waited[name] = waited
                await self._ends[name].wait()

        self.tasks[name] = asyncio.ensure_future(call())
        await settle()

    async def end(self, name: str) -> None:
        """Let a call end, and the next one have the slot."""
        self._ends[name].set()
        await settle()

    async def end_all(self) -> None:
        """Let every call end, one after the other, as they have their slots."""
        ended = 0
        while ended < len(self.begun):
            await self.end(self.begun[ended])
            ended += 1


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_calls_of_a_model_are_made_at_once_than_may_be() -> None:
    """Another model has its own number."""
    calls = Calls(2)
    for name in "abcd":
        await calls.make(name)
    await calls.make("other", model=OTHER)
    assert calls.begun == ["a", "b", "other"]
    assert (calls.calls.load(ONE), calls.calls.load(OTHER)) == ((2, 2), (1, 0))
    assert (calls.calls.load(ONE, "me"), calls.calls.load(ONE, "you")) == ((2, 2), (0, 0))
    await calls.end("b")
    assert calls.begun == ["a", "b", "other", "c"]
    await calls.end_all()
    assert calls.begun == ["a", "b", "other", "c", "d"]
    assert calls.calls.load(ONE) == (0, 0)


async def test_who_waits_for_a_turn_rests_and_is_told_for_how_long() -> None:
    calls = Calls(1)
    await calls.make("a")
    await calls.make("b")
    assert calls.suspended == 1
    await calls.end("a")
    assert calls.suspended == 0
    assert calls.waited["a"] == 0
    assert calls.waited["b"] > 0
    await calls.end_all()


async def test_owners_take_turns_at_a_model() -> None:
    """A thousand calls of one owner do not keep the one of another waiting."""
    calls = Calls(1)
    for number in range(1000):
        await calls.make(f"a{number}", "a")
    await calls.make("b", "b")
    for name in ("a0", "a1"):
        await calls.end(name)
    assert calls.begun == ["a0", "a1", "b"]
    await calls.end_all()
    assert len(calls.begun) == 1001


@pytest.mark.parametrize("many_are_later", [False, True])
async def test_first_and_later_calls_of_an_owner_take_turns(many_are_later: bool) -> None:
    """Neither a run that has begun waits behind many that have not, nor the other way round."""
    calls = Calls(1)
    await calls.make("under way")
    for number in range(100):
        await calls.make(f"many{number}", later=many_are_later)
    await calls.make("few", later=not many_are_later)
    await calls.end("under way")
    if "few" not in calls.begun:
        await calls.end("many0")
    assert "few" in calls.begun[:3]
    await calls.end_all()


async def test_a_call_that_is_cancelled_while_it_waits_is_never_made() -> None:
    calls = Calls(1)
    for name in "abc":
        await calls.make(name)
    calls.tasks["b"].cancel()
    await settle()
    assert calls.calls.load(ONE) == (1, 1)
    await calls.end("a")
    assert calls.begun == ["a", "c"]
    await calls.end_all()


async def test_a_turn_that_comes_with_a_cancellation_is_passed_on() -> None:
    """It would be lost for good."""
    calls = Calls(1)
    for name in "abc":
        await calls.make(name)
    calls.tasks["a"].cancel()  # its slot goes to `b` …
    await asyncio.sleep(0)
    calls.tasks["b"].cancel()  # … which is told to stop before it wakes
    await settle()
    assert calls.begun == ["a", "c"]
    await calls.end_all()
    assert calls.calls.load(ONE) == (0, 0)


@given(
    limit=st.integers(1, 3),
    made=st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), max_size=20),
    cancelled=st.sets(st.integers(0, 19)),
)
def test_turns_are_neither_lost_nor_won(
    limit: int, made: list[tuple[str, bool]], cancelled: set[int]
) -> None:
    """Of all that come, and go again, those that stay have a slot, never more at once."""

    async def play() -> None:
        calls = Calls(limit)
        for number, (owner, later) in enumerate(made):
            await calls.make(str(number), owner, later=later)
            assert calls.calls.load(ONE)[0] <= limit
            if number in cancelled:
                calls.tasks[str(number)].cancel()
        await settle()
        async with asyncio.timeout(patience()):
            await calls.end_all()
        stay = {str(number) for number in range(len(made))} - set(map(str, cancelled))
        assert stay <= set(calls.begun)
        assert calls.calls.load(ONE) == (0, 0)

    asyncio.run(play())
