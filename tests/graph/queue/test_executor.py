"""The embedded executor: how many at once, in which order, and who holds a slot."""

import asyncio
import contextlib
import time

import pytest

from graph.queue.executor import Executor, Job, QueueFull
from tests.support.clocks import Clocks
from tests.support.patience import patience, until


class Jobs:
    """An executor with the jobs that it was given, by the ids of their runs."""

    def __init__(self, executor: Executor) -> None:
        self.jobs: dict[str, Job] = {}
        self.start, self.place, self.stop = executor.start, executor.place, executor.stop
        self.wait_until, self.suspended = executor.wait_until, executor.suspended
        self.without_slot, self.load = executor.without_slot, executor.load
        self._executor = executor

    def enqueue(self, run_id: str, owner: str) -> None:
        self._executor.enqueue(self._job(run_id), owner)

    def position(self, run_id: str) -> int | None:
        return self._executor.position(self._job(run_id))

    def interrupt(self, run_id: str) -> asyncio.Task[None]:
        return self._executor.interrupt(self._job(run_id))

    def holds_slot(self, run_id: str) -> bool:
        return self._job(run_id).holds_slot

    def _job(self, run_id: str) -> Job:
        return self.jobs.setdefault(run_id, Job(run_id))


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


def executor(slots: int = 2, max_queued: int = 100, in_flight: int | None = None) -> Jobs:
    return Jobs(Executor(slots=slots, max_queued=max_queued, in_flight=in_flight or slots))


async def test_no_more_runs_are_executing_than_there_are_slots() -> None:
    """The rest is queued, in the order of arrival."""
    work, runs = Work(), executor(slots=2)
    runs.start(work)
    for run_id in "abcd":
        runs.enqueue(run_id, "default")
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
    runs.enqueue("a", "default")
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
        runs.enqueue(run_id, "default")
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
    runs.enqueue("a", "default")
    with runs.place():
        pass
    runs.enqueue("b", "default")
    with pytest.raises(QueueFull) as full, runs.place():
        pass
    assert full.value.queued == 1
    assert full.value.retry_after > 0
    work.finish("a")
    await settle()
    with runs.place():
        pass
    await runs.stop(grace=0)


async def test_runs_that_are_being_accepted_have_their_places() -> None:
    """However many come at once, no more are accepted than there are slots and places."""
    runs = executor(slots=2, max_queued=3)
    accepted, refused = [], []

    async def accept(number: int) -> None:
        try:
            with runs.place():
                await asyncio.sleep(0.01)
        except QueueFull:
            refused.append(number)
        else:
            accepted.append(number)
            runs.enqueue(str(number), "default")

    await asyncio.gather(*(accept(number) for number in range(20)))
    assert (accepted, refused) == (list(range(5)), list(range(5, 20)))
    runs.start(Work())
    with pytest.raises(QueueFull), runs.place():
        pass
    await runs.stop(grace=0)


async def test_a_place_is_given_back_when_the_run_is_not_accepted() -> None:
    """The storage may fail, and the client may go away."""
    runs = executor(slots=1, max_queued=0)
    for _ in range(3):
        with pytest.raises(OSError, match="disk full"), runs.place():
            raise OSError("disk full")
    with runs.place(), pytest.raises(QueueFull), runs.place():
        pass
    with runs.place():
        pass


async def test_runs_in_a_backoff_count_as_waiting() -> None:
    """They will want their slots back."""
    runs = executor(slots=1, max_queued=2)

    async def execute(run_id: str) -> None:
        await runs.wait_until(time.time() + 60)

    runs.start(execute)
    for run_id in "ab":
        runs.enqueue(run_id, "default")
    await settle()
    with runs.place():
        pass
    runs.enqueue("c", "default")
    await settle()
    with pytest.raises(QueueFull) as full, runs.place():
        pass
    assert full.value.queued == 3
    await runs.stop(grace=0)


async def test_owners_take_turns() -> None:
    """Whoever asked for much does not keep the others waiting."""
    work, runs = Work(), executor(slots=1)
    runs.start(work)
    for run_id, owner in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        runs.enqueue(run_id, owner)
    assert [runs.position(run_id) for run_id in ("a2", "a3", "b1")] == [1, 3, 2]
    for run_id in ("a1", "a2", "b1", "a3"):
        work.finish(run_id)
    await settle()
    assert work.begun == ["a1", "a2", "b1", "a3"]


class Interruptible:
    """Executes runs until they are interrupted, and then does what is left to do for each."""

    def __init__(self, runs: Jobs) -> None:
        self.begun: list[str] = []
        self.settled: list[str] = []
        self.interrupted: set[str] = set()
        self.may_settle = asyncio.Event()
        self._runs = runs

    def interrupt(self, run_id: str) -> asyncio.Task[None]:
        self.interrupted.add(run_id)
        return self._runs.interrupt(run_id)

    async def __call__(self, run_id: str) -> None:
        if run_id not in self.interrupted:
            self.begun.append(run_id)
            try:
                if run_id.startswith("waits"):
                    await self._runs.wait_until(time.time() + 60)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if run_id not in self.interrupted:
                    raise
        await self.may_settle.wait()
        self.settled.append(run_id)


async def test_a_run_that_is_interrupted_keeps_its_slot_until_it_has_ended() -> None:
    """And gives it back then."""
    runs = executor(slots=1)
    work = Interruptible(runs)
    runs.start(work)
    runs.enqueue("a", "default")
    runs.enqueue("b", "default")
    await settle()
    assert (runs.holds_slot("a"), runs.holds_slot("b")) == (True, False)
    ending = work.interrupt("a")
    await settle()
    assert runs.holds_slot("a")
    assert work.begun == ["a"]
    work.may_settle.set()
    await ending
    await settle()
    assert work.settled == ["a"]
    assert (runs.holds_slot("a"), runs.holds_slot("b")) == (False, True)
    await runs.stop(grace=0)


async def test_a_run_that_is_interrupted_before_its_first_moment_is_executed_all_the_same() -> None:
    """Else it would neither end nor give its slot back."""
    runs = executor(slots=1)
    work = Interruptible(runs)
    work.may_settle.set()
    runs.start(work)
    runs.enqueue("a", "default")
    assert runs.holds_slot("a")
    await work.interrupt("a")
    runs.enqueue("b", "default")
    await settle()
    assert (work.begun, work.settled) == (["b"], ["a"])
    await runs.stop(grace=0)


async def test_a_queued_run_that_is_interrupted_is_executed_at_once_without_a_slot() -> None:
    """What is left to do for it does not wait for others; it is not executed a second time."""
    runs = executor(slots=1)
    work = Interruptible(runs)
    work.may_settle.set()
    runs.start(work)
    for run_id in ("a", "b", "c"):
        runs.enqueue(run_id, "default")
    await settle()
    ending = work.interrupt("b")
    assert runs.position("b") is None
    assert runs.position("c") == 1
    assert not runs.holds_slot("b")
    await ending
    assert (work.begun, work.settled) == (["a"], ["b"])
    await work.interrupt("a")
    await settle()
    assert work.begun == ["a", "c"]
    await runs.stop(grace=0)


async def test_a_run_that_is_not_here_is_executed_to_be_interrupted() -> None:
    """An earlier process may have left it."""
    runs = executor(slots=1)
    work = Interruptible(runs)
    work.may_settle.set()
    runs.start(work)
    await work.interrupt("a")
    assert work.settled == ["a"]
    await runs.stop(grace=0)


async def test_a_run_that_is_interrupted_in_its_backoff_takes_no_slot() -> None:
    """Nor does it give one back that it did not hold."""
    runs = executor(slots=1)
    work = Interruptible(runs)
    runs.start(work)
    runs.enqueue("waits", "default")
    await settle()
    assert not runs.holds_slot("waits")
    runs.enqueue("a", "default")
    runs.enqueue("b", "default")
    await settle()
    ending = work.interrupt("waits")
    work.may_settle.set()
    await ending
    await settle()
    assert work.begun == ["waits", "a"]
    await runs.stop(grace=0)


async def test_slots_are_neither_lost_nor_won_however_runs_are_interrupted() -> None:
    """Executing, queued, waiting or not begun: afterwards as many are executed as before."""
    runs = executor(slots=3)
    work = Interruptible(runs)
    work.may_settle.set()
    runs.start(work)
    names = [f"{'waits' if number % 3 == 0 else 'a'}{number}" for number in range(30)]
    for number, run_id in enumerate(names):
        runs.enqueue(run_id, f"{number % 4}")
        if number % 5 == 0:
            await settle()
        if number % 2:
            work.interrupt(names[number // 2])
    await asyncio.wait([work.interrupt(run_id) for run_id in names])
    assert set(work.settled) == set(names)
    for number in range(5):
        runs.enqueue(f"later{number}", "default")
    await settle()
    assert [run_id for run_id in work.begun if "later" in run_id] == ["later0", "later1", "later2"]
    await runs.stop(grace=0)


async def test_a_run_in_its_backoff_holds_no_slot_and_returns_before_new_ones(
    clocks: Clocks,
) -> None:
    """Others go on meanwhile; afterwards it has its turn before runs that have not begun."""
    order: list[str] = []
    runs = executor(slots=1)
    third, may_end, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def execute(run_id: str) -> None:
        order.append(run_id)
        if run_id == "waits":
            await runs.wait_until(time.time() + 600)
            order.append("waited")
        elif run_id == "third":
            third.set()
            await may_end.wait()
        elif run_id == "fourth":
            over.set()

    runs.start(execute)
    for run_id in ("waits", "second", "third", "fourth"):
        runs.enqueue(run_id, "default")
    await third.wait()
    clocks.forward(600)
    await settle()
    may_end.set()
    await asyncio.wait_for(over.wait(), patience())
    assert order == ["waits", "second", "third", "waited", "fourth"]


async def test_a_run_is_told_how_long_it_waited_for_a_slot_after_its_backoff(
    clocks: Clocks,
) -> None:
    """The backoff itself does not count, nor does a slot that is free."""
    told: dict[str, float] = {}
    runs, may_end = executor(slots=1), asyncio.Event()

    async def execute(run_id: str) -> None:
        if run_id == "blocks":
            await may_end.wait()
        else:
            told[run_id] = await runs.wait_until(time.time() + 3000)

    runs.start(execute)
    runs.enqueue("waits", "me")
    runs.enqueue("blocks", "me")
    await settle()
    clocks.forward(3000)
    await settle()
    clocks.forward(6000)
    may_end.set()
    await until(lambda: told)
    runs.enqueue("alone", "me")
    await settle()
    clocks.forward(3000)
    await until(lambda: "alone" in told)
    assert 6000 <= told["waits"] < 9000
    assert told["alone"] < 3000
    assert await runs.wait_until(time.time()) == 0


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
    runs.enqueue("waits", "default")
    runs.enqueue("blocks", "default")
    await until(lambda: work.begun)
    assert work.begun == ["blocks"]
    work.finish("blocks")
    while not work.ended:  # noqa: ASYNC110 - its slot is given on in the same turn of the loop
        await asyncio.sleep(0)
    waiting[0].cancel()
    await settle()
    runs.enqueue("next", "default")
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
    runs.enqueue("a", "default")
    runs.enqueue("b", "default")
    await settle()
    assert begun == ["a", "b"]
    assert "could not be settled" in caplog.text


async def test_at_the_end_runs_get_their_grace_and_waiting_ones_none() -> None:
    """Nothing is in flight in a backoff, so there is nothing to wait for."""
    ended: list[str] = []
    runs = executor(slots=3)

    async def execute(run_id: str) -> None:
        if run_id == "waits":
            await runs.wait_until(time.time() + 3600)
        await asyncio.sleep(3600 if run_id == "hangs" else 0.05)
        ended.append(run_id)

    runs.start(execute)
    for run_id in ("waits", "short"):
        runs.enqueue(run_id, "default")
    await settle()
    async with asyncio.timeout(patience()):
        await runs.stop(grace=3600)
    assert ended == ["short"]

    hanging = executor()
    hanging.start(execute)
    hanging.enqueue("hangs", "default")
    await settle()
    await hanging.stop(grace=0.1)
    assert ended == ["short"]


async def test_nothing_begins_once_it_is_stopping() -> None:
    """Queued runs are left to the next process."""
    work, runs = Work(), executor(slots=1)
    runs.start(work)
    runs.enqueue("a", "default")
    runs.enqueue("b", "default")
    await settle()
    stopping = asyncio.ensure_future(runs.stop(grace=1))
    await settle()
    work.finish("a")
    await stopping
    assert work.begun == ["a"]


# Runs in flight, and those of them that compute.


class Calling:
    """Executes runs that wait for what somebody else does, until they are told that it is done."""

    def __init__(self, runs: Jobs) -> None:
        self.asked: list[str] = []
        self.computing: list[str] = []
        self.most = 0
        self.waited: dict[str, float] = {}
        self._runs = runs
        self._answers: dict[str, asyncio.Event] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def __call__(self, run_id: str) -> None:
        async with self._runs.without_slot() as paused:
            self.asked.append(run_id)
            await self._event(self._answers, run_id).wait()
        self.waited[run_id] = paused.seconds
        self.computing.append(run_id)
        self.most = max(self.most, len(self.computing))
        await self._event(self._ends, run_id).wait()
        self.computing.remove(run_id)

    def answer(self, run_id: str) -> None:
        self._event(self._answers, run_id).set()

    def finish(self, run_id: str) -> None:
        self._event(self._ends, run_id).set()

    @staticmethod
    def _event(events: dict[str, asyncio.Event], run_id: str) -> asyncio.Event:
        return events.setdefault(run_id, asyncio.Event())


async def test_runs_that_wait_for_others_hold_no_slot_until_they_go_on() -> None:
    """All may wait at once; no more than there are slots compute afterwards."""
    runs = executor(slots=2, in_flight=10)
    work = Calling(runs)
    runs.start(work)
    for run_id in "abcde":
        runs.enqueue(run_id, "default")
    await settle()
    assert work.asked == [*"abcde"]
    assert not any(runs.holds_slot(run_id) for run_id in "abcde")
    for run_id in "edcba":
        work.answer(run_id)
    await settle()
    assert work.computing == ["e", "d"]
    for run_id in "edcba":
        work.finish(run_id)
    await settle()
    assert work.most == 2
    assert sorted(work.waited) == [*"abcde"]
    assert all(waited >= 0 for waited in work.waited.values())


async def test_what_has_begun_goes_on_before_what_has_not() -> None:
    """Of one owner; an owner whose runs have not begun has his turn between."""
    runs = executor(slots=1, in_flight=10)
    work = Calling(runs)
    runs.start(work)
    for run_id in ("a1", "a2", "a3"):
        runs.enqueue(run_id, "a")
    await settle()
    work.answer("a1")
    await settle()
    assert work.computing == ["a1"]
    runs.enqueue("a4", "a")
    runs.enqueue("b1", "b")
    for run_id in ("a2", "a3"):
        work.answer(run_id)
    await settle()
    work.finish("a1")
    await settle()
    assert (work.computing, work.asked[3:]) == (["a2"], [])
    work.finish("a2")
    await settle()
    assert (work.computing, work.asked[3:]) == (["a3"], ["b1"])
    work.finish("a3")
    await settle()
    assert work.asked[3:] == ["b1", "a4"]
    await runs.stop(grace=0)


async def test_no_more_runs_begin_than_may_be_in_flight_but_one_of_each_other_owner() -> None:
    """Slots are free all the time."""
    runs = executor(slots=5, in_flight=2)
    work = Calling(runs)
    runs.start(work)
    for run_id in ("a1", "a2", "a3"):
        runs.enqueue(run_id, "a")
    for run_id in ("b1", "b2"):
        runs.enqueue(run_id, "b")
    await settle()
    assert work.asked == ["a1", "a2", "b1"]
    assert [runs.position(run_id) for run_id in ("a1", "a3", "b2")] == [None, 1, 2]
    for run_id, asked in (("a1", []), ("a2", ["a3", "b2"])):
        work.answer(run_id)
        work.finish(run_id)
        await settle()
        assert sorted(work.asked[3:]) == asked
    await runs.stop(grace=0)


async def test_it_tells_how_many_runs_of_an_owner_there_are() -> None:
    """Or of all; the most that there may be are everybody's."""
    runs = executor(slots=2, in_flight=2)
    work = Calling(runs)
    runs.start(work)
    for run_id in ("a1", "a2", "a3", "a4"):
        runs.enqueue(run_id, "a")
    runs.enqueue("b1", "b")
    await settle()
    work.answer("a1")
    await settle()
    most = {"max_in_flight": 2, "max_executing": 2, "ends_per_s": None}
    assert runs.load("a") == {"in_flight": 2, "executing": 1, "queued": 2, "backoff": 0} | most
    assert runs.load("b") == {"in_flight": 1, "executing": 0, "queued": 0, "backoff": 0} | most
    assert runs.load() == {"in_flight": 3, "executing": 1, "queued": 2, "backoff": 0} | most
    assert runs.load("c")["queued"] == 0
    await runs.stop(grace=0)


async def test_a_run_cancelled_in_a_call_takes_no_slot_and_gives_its_place_away() -> None:
    runs = executor(slots=1, in_flight=1)
    work = Calling(runs)
    runs.start(work)
    runs.enqueue("a", "default")
    runs.enqueue("b", "default")
    await settle()
    with contextlib.suppress(asyncio.CancelledError):
        await runs.interrupt("a")
    await settle()
    assert (work.asked, work.computing) == (["a", "b"], [])
    await runs.stop(grace=0)


async def test_at_the_end_what_is_called_has_its_grace_and_a_slot_to_end_with() -> None:
    """Nothing new begins then."""
    runs = executor(slots=1, in_flight=2)
    work = Calling(runs)
    runs.start(work)
    for run_id in "abc":
        runs.enqueue(run_id, "default")
    await settle()
    stopping = asyncio.ensure_future(runs.stop(grace=patience()))
    await settle()
    for run_id in "ab":
        work.answer(run_id)
        work.finish(run_id)
    await stopping
    assert (work.asked, sorted(work.waited)) == (["a", "b"], ["a", "b"])


async def test_runs_that_rest_are_told_to_stop_at_once() -> None:
    """Nothing of theirs is under way."""
    runs = executor(slots=1, in_flight=2)
    stopped: list[str] = []

    async def execute(run_id: str) -> None:
        with runs.suspended():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stopped.append(run_id)
                raise

    runs.start(execute)
    runs.enqueue("a", "default")
    await settle()
    async with asyncio.timeout(patience()):
        await runs.stop(grace=3600)
    assert stopped == ["a"]
