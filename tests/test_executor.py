"""The embedded executor: how many at once, in which order, and who holds a slot."""

import asyncio
import time

import pytest

from graph.executor import Executor, QueueFull


class Work:
    """Executes runs by remembering them, until it is told that they may end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}

    async def __call__(self, run_id: str) -> None:
        self.begun.append(run_id)
        await self._gates.setdefault(run_id, asyncio.Event()).wait()
        self.ended.append(run_id)

    def finish(self, run_id: str) -> None:
        self._gates.setdefault(run_id, asyncio.Event()).set()


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def executor(slots: int = 2, max_queued: int = 100) -> Executor:
    return Executor(slots=slots, max_queued=max_queued)


async def test_no_more_runs_are_executing_than_there_are_slots() -> None:
    """The rest is queued, in the order of arrival."""
    work, runs = Work(), executor(slots=2)
    runs.start(work)
    for run_id in "abcd":
        runs.enqueue(run_id)
    await settle()
    assert work.begun == ["a", "b"]
    assert [runs.position(run_id) for run_id in "abcd"] == [None, None, 1, 2]
    work.finish("b")
    await settle()
    assert work.begun == ["a", "b", "c"]
    await runs.stop(grace=0)


async def test_what_was_enqueued_before_the_start_is_executed_after_it() -> None:
    """Nothing begins before there is somebody to execute it."""
    work, runs = Work(), executor()
    runs.enqueue("a")
    await settle()
    assert work.begun == []
    runs.start(work)
    await settle()
    assert work.begun == ["a"]
    await runs.stop(grace=0)


async def test_a_run_that_is_here_already_is_not_added() -> None:
    """Two executions of one run would do its steps twice."""
    work, runs = Work(), executor(slots=1)
    runs.start(work)
    for run_id in ("a", "a", "b", "b"):
        runs.enqueue(run_id)
    await settle()
    assert work.begun == ["a"]
    work.finish("a")
    work.finish("b")
    await settle()
    assert work.begun == ["a", "b"]


async def test_a_full_queue_says_so() -> None:
    """Runs that are executing do not count."""
    work, runs = Work(), executor(slots=1, max_queued=1)
    runs.start(work)
    runs.enqueue("a")
    runs.check_room()
    runs.enqueue("b")
    with pytest.raises(QueueFull) as full:
        runs.check_room()
    assert full.value.queued == 1
    await runs.stop(grace=0)


async def test_a_run_in_its_backoff_holds_no_slot_and_returns_before_new_ones() -> None:
    """Others go on meanwhile; afterwards it has its turn before runs that have not begun."""
    order: list[str] = []
    runs = executor(slots=1)

    async def execute(run_id: str) -> None:
        order.append(run_id)
        if run_id == "waits":
            await runs.wait_until(time.time() + 0.05)
            order.append("waited")
        else:
            await asyncio.sleep(0.04)

    runs.start(execute)
    for run_id in ("waits", "second", "third", "fourth"):
        runs.enqueue(run_id)
    await asyncio.sleep(0.3)
    assert order == ["waits", "second", "third", "waited", "fourth"]


async def test_a_run_cancelled_as_its_turn_comes_gives_the_slot_back() -> None:
    """A slot that nobody holds would be lost for good."""
    work, runs = Work(), executor(slots=1)
    waiting: list[asyncio.Task[None]] = []

    async def execute(run_id: str) -> None:
        if run_id == "waits":
            task = asyncio.current_task()
            assert task is not None
            waiting.append(task)
            await runs.wait_until(time.time())
        await work(run_id)

    runs.start(execute)
    runs.enqueue("waits")
    runs.enqueue("blocks")
    await asyncio.sleep(0.02)
    assert work.begun == ["blocks"]
    work.finish("blocks")
    while not work.ended:  # noqa: ASYNC110 - its slot is given on in the same turn of the loop
        await asyncio.sleep(0)
    waiting[0].cancel()
    await settle()
    runs.enqueue("next")
    await settle()
    assert work.begun == ["blocks", "next"]
    await runs.stop(grace=0)


async def test_a_run_that_breaks_does_not_take_its_slot_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What even `execute` could not settle is logged, and the next one begins."""
    begun: list[str] = []

    async def execute(run_id: str) -> None:
        begun.append(run_id)
        raise RuntimeError("broken")

    runs = executor(slots=1)
    runs.start(execute)
    runs.enqueue("a")
    runs.enqueue("b")
    await settle()
    assert begun == ["a", "b"]
    assert "could not be settled" in caplog.text


async def test_at_the_end_runs_get_their_grace_and_waiting_ones_none() -> None:
    """Nothing is in flight in a backoff, so there is nothing to wait for."""
    ended: list[str] = []
    runs = executor(slots=3)

    async def execute(run_id: str) -> None:
        if run_id == "waits":
            await runs.wait_until(time.time() + 60)
        await asyncio.sleep(60 if run_id == "hangs" else 0.05)
        ended.append(run_id)

    runs.start(execute)
    for run_id in ("waits", "short"):
        runs.enqueue(run_id)
    await settle()
    began = time.monotonic()
    await runs.stop(grace=5)
    assert ended == ["short"]
    assert time.monotonic() - began < 2

    hanging = executor()
    hanging.start(execute)
    hanging.enqueue("hangs")
    await settle()
    await hanging.stop(grace=0.1)
    assert ended == ["short"]


async def test_nothing_begins_once_it_is_stopping() -> None:
    """Queued runs are left to the next process."""
    work, runs = Work(), executor(slots=1)
    runs.start(work)
    runs.enqueue("a")
    runs.enqueue("b")
    await settle()
    stopping = asyncio.ensure_future(runs.stop(grace=1))
    await settle()
    work.finish("a")
    await stopping
    assert work.begun == ["a"]
