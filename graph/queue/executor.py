"""The embedded executor: a fair queue of jobs and a fixed number of slots in one event loop."""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from nodes.contract.steps import sleep_until


@dataclass(slots=True, eq=False)
class Job:
    """A run as the queue has it; everything but its id is written by the queue alone.

    `task` executes it, once it has `begun`; one that sits out a `backoff` holds no slot.
    """

    run_id: str
    owner: str = ""
    queued: bool = False
    task: asyncio.Task[None] | None = None
    begun: bool = False
    holds_slot: bool = False
    backoff: asyncio.Event | None = None  # set to end it


class FairQueue:
    """Jobs by owner; one owner's many runs do not keep another's few waiting."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()  # who is next comes first
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, job: Job, owner: str) -> None:
        """Queue a job behind the others of its owner."""
        job.owner, job.queued = owner, True
        self._length += 1
        self._queues.setdefault(owner, deque()).append(job)

    def popleft(self) -> Job:
        """The job that is next. Raises `KeyError` when there is none."""
        owner, jobs = self._queues.popitem(last=False)
        job = jobs.popleft()
        job.queued = False
        self._length -= 1
        if jobs:
            self._queues[owner] = jobs
        return job

    def remove(self, job: Job) -> bool:
        """Take a job out of the queue; whether it was in it."""
        if not job.queued:
            return False
        jobs = self._queues[job.owner]
        jobs.remove(job)
        job.queued = False
        self._length -= 1
        if not jobs:
            del self._queues[job.owner]
        return True

    def clear(self) -> list[Job]:
        """Take every job out of the queue."""
        return [self.popleft() for _ in range(len(self))]

    def position(self, job: Job) -> int | None:
        """The place of the job, counted from 1; None when it is not queued."""
        if not job.queued:
            return None
        rounds = self._queues[job.owner].index(job)  # before its own
        before, earlier = 0, True
        for other, jobs in self._queues.items():
            earlier = earlier and other != job.owner
            before += min(len(jobs), rounds + earlier)
        return before + 1


# How fast runs come to their end, so that a refused client can be told when to come again.


#: How far back is looked, in seconds, and over how many ends at most.
WINDOW, ENDS = 60.0, 1000

#: The shortest and longest time that a client is asked to wait, in seconds.
SHORTEST, LONGEST = 1.0, 60.0


class Throughput:
    """The measured rate of ends; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=ENDS)

    def note_end(self) -> None:
        """A run has ended just now."""
        self._ends.append(self._clock())

    def time_for(self, runs: float) -> float:
        """How long that many ends take, in seconds; the longest while none is known."""
        now = self._clock()
        while self._ends and self._ends[0] < now - WINDOW:
            self._ends.popleft()
        if not self._ends:
            return LONGEST
        rate = len(self._ends) / max(now - self._ends[0], SHORTEST)  # one end is no rate as yet
        return min(max(runs / rate, SHORTEST), LONGEST)


logger = logging.getLogger("runwright.executor")


#: How long a cancelled run may take to end before it is left behind, in seconds.
CANCEL_GRACE = 2.0


class QueueFull(Exception):
    """No further run is accepted now; `retry_after` is in seconds."""

    def __init__(self, queued: int, retry_after: float) -> None:
        super().__init__(f"{queued} runs are waiting already")
        self.queued = queued
        self.retry_after = retry_after


#: The job of which this is the execution.
_current: ContextVar[Job] = ContextVar("current_job")


def _keep(job: Job) -> None:
    """The caller that made the job keeps it."""


class Executor:
    """Executes runs, at most `slots` at once, in turns between owners.

    A run that waits for its next attempt gives its slot away and gets the next free one back
    before runs that have not begun.
    """

    def __init__(self, *, slots: int, max_queued: int) -> None:
        self._execute: Callable[[str], Awaitable[None]] | None = None
        self._release: Callable[[Job], None] = _keep
        self._slots = self._free = slots
        self._max_queued = max_queued
        self._queue = FairQueue()
        self._throughput = Throughput()
        self._places = 0
        self._returning: deque[tuple[Job, asyncio.Future[None]]] = deque()
        self._executing: set[Job] = set()
        self._stopping = False

    def start(
        self,
        execute: Callable[[str], Awaitable[None]],
        release: Callable[[Job], None] = _keep,
    ) -> None:
        """Begin with whatever was enqueued so far.

        `execute` drives one run by its id; `release` is told of a job that the queue has no more.
        """
        self._execute, self._release = execute, release
        self._dispatch()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place in the queue for a run while it is being accepted.

        Raises `QueueFull` when no more runs may wait, for their beginning or in a backoff.
        """
        executing = self._slots - self._free
        waiting = len(self._queue) + len(self._executing) - executing + self._places
        if waiting >= self._max_queued + self._free:
            # When a tenth of them has ended, there is room for more than the first who asks.
            raise QueueFull(waiting, retry_after=self._throughput.time_for(waiting / 10))
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def enqueue(self, job: Job, owner: str) -> None:
        """Execute a run as soon as a slot is free. A run that is here already is not added."""
        if job.task is None and not job.queued:
            self._queue.append(job, owner)
            self._dispatch()

    def position(self, job: Job) -> int | None:
        """The place of the run in the queue, counted from 1; None when it is not queued."""
        return self._queue.position(job)

    def interrupt(self, job: Job) -> asyncio.Task[None]:
        """Cancel the execution of a run, or begin one at once, without a slot, where there is none.

        Its `execute` sees the cancellation or the beginning, and decides what it means.
        """
        if job.task is not None:
            if job.begun:  # a task that is cancelled before it begins never does, nor ends
                job.task.cancel()
            return job.task
        self._queue.remove(job)
        return self._begin(job, holds_slot=False)

    async def wait_until(self, moment: float) -> float:
        """Sit out a backoff until an epoch second, without a slot when called within a run.

        Returns how long it then waited for a slot, in seconds.
        """
        job = _current.get(None)
        if job is None:
            return await sleep_until(moment)
        self._give_back(job)
        if self._stopping and job.task:
            # Cancelled as a whole: a cancellation that only this node raises is a failure of it.
            job.task.cancel()
        await self._sit_out(job, moment)
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.append((job, slot))
        self._dispatch()
        due = time.monotonic()
        await slot
        return time.monotonic() - due

    async def _sit_out(self, job: Job, moment: float) -> None:
        job.backoff = asyncio.Event()
        waits = {
            asyncio.ensure_future(sleep_until(moment)),
            asyncio.ensure_future(job.backoff.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            job.backoff = None
            for wait in waits:
                wait.cancel()

    def hurry(self, job: Job) -> bool:
        """End the backoff of a run at once; whether it was in one."""
        if job.backoff is None:
            return False
        job.backoff.set()
        return True

    async def ended(self, job: Job, *, timeout: float) -> bool:
        """Wait for the end of a run's execution, which begins at once if it is queued.

        Whether it ended within `timeout` seconds; also when there was none.
        """
        if job.task is None and not job.queued:
            return True
        done, _ = await asyncio.wait([job.task or self.interrupt(job)], timeout=timeout)
        return bool(done)

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what is executing `grace` seconds, then cancel it.

        Runs in a backoff are cancelled at once: they have nothing in flight.
        """
        self._stopping = True
        for job in self._queue.clear():
            self._release(job)
        executing = {job.task: job for job in self._executing if job.task}
        for task, job in executing.items():
            if not job.holds_slot:
                task.cancel()
        if executing:
            _, late = await asyncio.wait(executing, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_GRACE)

    def _dispatch(self) -> None:
        while self._execute and self._free and not self._stopping:
            if self._returning:
                job, slot = self._returning.popleft()
                if slot.done():  # its run was cancelled meanwhile
                    continue
                # From here on the slot is its own, also if it is cancelled before it wakes.
                job.holds_slot = True
                slot.set_result(None)
            elif self._queue:
                self._begin(self._queue.popleft(), holds_slot=True)
            else:
                return
            self._free -= 1

    def _begin(self, job: Job, *, holds_slot: bool) -> asyncio.Task[None]:
        job.task = asyncio.get_running_loop().create_task(self._run(job), name=f"run {job.run_id}")
        job.begun, job.holds_slot = False, holds_slot
        self._executing.add(job)
        return job.task

    async def _run(self, job: Job) -> None:
        assert self._execute is not None
        job.begun = True
        _current.set(job)
        try:
            await self._execute(job.run_id)
        except Exception:  # a run that cannot even be settled must not take the others with it
            logger.exception("run could not be settled", extra={"run_id": job.run_id})
        finally:
            self._executing.discard(job)
            job.task = None
            self._throughput.note_end()
            self._give_back(job)
            self._release(job)

    def _give_back(self, job: Job) -> None:
        if job.holds_slot:
            job.holds_slot = False
            self._free += 1
            self._dispatch()
