"""The embedded executor: runs in flight, and the slots of those that compute, in one event loop."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass

from graph.queue.fair import Entry, FairQueue, Load, Throughput
from graph.queue.share import METER, LoopShare, Meter
from nodes.contract.steps import sleep_until


@dataclass(slots=True, eq=False)
class Job(Entry):
    """A run as the queue has it; everything but its id is written by the queue alone.

    `task` executes it, once it has `begun`. It holds a slot while it computes, and a place among
    the runs in flight but for the time of a `backoff`. While it is `suspended` none of it is under
    way that could be cut off.
    """

    run_id: str
    task: asyncio.Task[None] | None = None
    begun: bool = False
    holds_slot: bool = False
    holds_place: bool = False
    suspended: bool = False
    backoff: asyncio.Event | None = None  # set to end it
    backoff_until: float = 0.0  # of the one that it is in, epoch seconds

    @property
    def under_way(self) -> bool:
        """Whether an attempt or a call of it may be under way."""
        return self.task is not None and self.begun and not self.suspended


@dataclass(slots=True, eq=False)
class _Returning(Entry):
    """A run that has begun, and waits for a slot to compute with again."""

    job: Job
    slot: asyncio.Future[None]


logger = logging.getLogger("runwright.executor")

#: How long a cancelled run may take to end before it is left behind, in seconds.
CANCEL_GRACE = 2.0


class QueueFull(Exception):
    """No further run is accepted now; `retry_after` is in seconds."""

    def __init__(self, queued: int, retry_after: float) -> None:
        super().__init__(f"{queued} runs are waiting already")
        self.queued = queued
        self.retry_after = retry_after


class NotAccepting(Exception):
    """The process is ending and takes no further runs."""

    def __init__(self) -> None:
        super().__init__("the process is ending and takes no further runs")


#: The job of which this is the execution.
CURRENT: ContextVar[Job] = ContextVar("current_job")


def _keep(job: Job) -> None:
    """The caller that made the job keeps it."""


@dataclass(slots=True)
class Paused:
    """How long a run waited for a slot, in seconds, while it had something to compute."""

    seconds: float = 0.0


class Executor:
    """Executes runs: `in_flight` begun at once, of which at most `slots` compute, owners in turns.

    A run that waits for what somebody else does gives its slot away, and takes one again before it
    computes: in the turn of its owner, before his runs that have not begun. In a backoff it is not
    in flight either. An owner who has no run in flight may begin one, however many others have.
    """

    def __init__(
        self, *, slots: int, max_queued: int, in_flight: int = 1000, share: LoopShare | None = None
    ) -> None:
        self._execute: Callable[[str], Awaitable[None]] | None = None
        self._release: Callable[[Job], None] = _keep
        self._slots = self._free = slots
        self._max_in_flight = in_flight
        self._share = share or LoopShare()
        self._max_queued = max_queued
        self._queue: FairQueue[Job | _Returning] = FairQueue()
        self.throughput = Throughput()
        self._accepting = 0
        self.accepting: set[str] = set()  # runs that are being stored, and not here yet
        self.elsewhere = 0  # runs that wait, and are taken by whichever process has room
        self._in_flight = 0
        self._of_owner: Counter[str] = Counter()  # of those in flight
        self._executing: set[Job] = set()
        self.parked: set[Job] = set()  # accepted, and not to be queued yet
        self._stopping = False
        #: Whether runs, and orders about them, are taken.
        self.ready = False

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

    def load(self, owner: str | None = None) -> Load:
        """How many runs of an owner there are here, or of all."""
        jobs = [job for job in self._executing if owner in (job.owner, None)]
        in_flight = sum(job.holds_place for job in jobs)
        return Load(
            in_flight=in_flight,
            executing=sum(job.holds_slot for job in jobs),
            queued=(self._queue.new if owner is None else self._queue.new_of(owner))
            + sum(job.owner == owner or owner is None for job in self.parked),
            backoff=len(jobs) - in_flight,
            max_in_flight=self._max_in_flight,
            max_executing=self._slots,
            ends_per_s=self.throughput.rate(),
        )

    @contextmanager
    def place(self, run_id: str = "") -> Iterator[None]:
        """Keep a place in the queue for a run while it is being accepted.

        Raises `QueueFull` when no more runs may wait, for their beginning or in a backoff.
        """
        backoff = len(self._executing) - self._in_flight
        waiting = self._queue.new + len(self.parked) + backoff + self._accepting + self.elsewhere
        if waiting >= self._max_queued + self._room:
            # When a tenth of them has ended, there is room for more than the first who asks.
            raise QueueFull(waiting, retry_after=self.throughput.time_for(waiting / 10))
        self._accepting += 1
        self.accepting.add(run_id)
        try:
            yield
        finally:
            self._accepting -= 1
            self.accepting.discard(run_id)

    @property
    def _room(self) -> int:
        """How many more runs may be in flight."""
        return max(0, self._max_in_flight - self._in_flight)

    def enqueue(self, job: Job, owner: str) -> None:
        """Execute a run as soon as there is a slot for it; one that is here is not added."""
        self.parked.discard(job)
        if job.task is None and not job.queued:
            self._queue.append(job, owner)
            self._dispatch()

    def park(self, job: Job, owner: str) -> None:
        """Count a run among the queued that must not begin before `enqueue`."""
        job.owner = owner
        self.parked.add(job)

    def is_far(self, job: Job) -> bool:
        """Whether more runs are to begin before this one than may be in flight now."""
        return job.queued and self._queue.new > self._room

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
        self.parked.discard(job)
        return self._begin(job)

    async def wait_until(self, moment: float) -> float:
        """Sit out a backoff until an epoch second; within a run, without a slot and not in flight.

        Returns how long it then waited for a slot, in seconds.
        """
        job = CURRENT.get(None)
        if job is None:
            return await sleep_until(moment)
        with self.suspended():
            self._land(job)
            self._give_back(job)
            await self._sit_out(job, moment)
            self._take_off(job)
            return await self._take_slot(job)

    async def _sit_out(self, job: Job, moment: float) -> None:
        job.backoff, job.backoff_until = asyncio.Event(), moment
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

    @asynccontextmanager
    async def without_slot(self) -> AsyncIterator[Paused]:
        """Give the slot of the run away while it waits for what somebody else does.

        It has one again at the end, and knows then how long it waited for it. A run that is told to
        stop meanwhile gets none.
        """
        job, paused = CURRENT.get(None), Paused()
        if job is None or not job.holds_slot:
            yield paused
            return
        self._give_back(job)
        try:
            yield paused
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._take_slot(job)
            raise
        paused.seconds = await self._take_slot(job)

    async def turn(self) -> None:
        """Wait, without a slot, until the owner of the run may have the event loop."""
        if self._share.must_wait(step=True):
            async with self.without_slot():
                await self._share.turn(step=True)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Note that nothing of the run is under way, so that it may be told to stop at once."""
        job = CURRENT.get(None)
        if job is None:
            yield
            return
        if self._stopping and job.task:
            # Cancelled as a whole: a cancellation that only this node raises is a failure of it.
            job.task.cancel()
        job.suspended = True
        try:
            yield
        finally:
            job.suspended = False

    async def _take_slot(self, job: Job) -> float:
        """Wait for a slot, among the runs of its owner; how long that took, in seconds."""
        if self._free and not self._queue:
            job.holds_slot = True
            self._free -= 1
            return 0.0
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Returning(job, slot), job.owner, begun=True)
        self._dispatch()
        due = time.monotonic()
        await slot
        return time.monotonic() - due

    async def ended(self, job: Job, *, timeout: float) -> bool:
        """Wait for the end of a run's execution, which begins at once if it is queued.

        Whether it ended within `timeout` seconds; also when there was none.
        """
        if job.task is None and not job.queued:
            return True
        done, _ = await asyncio.wait([job.task or self.interrupt(job)], timeout=timeout)
        return bool(done)

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what is under way `grace` seconds, then cancel it.

        Those suspended are cancelled at once: they have nothing under way.
        """
        self._stopping = True
        for entry in self._queue.clear_new():
            assert isinstance(entry, Job)
            self._release(entry)
        executing = {job.task: job for job in self._executing if job.task}
        for task, job in executing.items():
            if job.suspended:
                task.cancel()
        if executing:
            _, late = await asyncio.wait(executing, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_GRACE)

    def _dispatch(self) -> None:
        while self._execute and self._free and self._queue:
            try:
                entry = self._queue.popleft(self._may_begin)
            except KeyError:
                return
            if isinstance(entry, Job):
                entry.holds_slot = True
                self._take_off(entry)
                self._begin(entry)
            elif entry.slot.done():  # its run was cancelled meanwhile
                continue
            else:
                # From here on the slot is its own, also if it is cancelled before it wakes.
                entry.job.holds_slot = True
                entry.slot.set_result(None)
            self._free -= 1

    def _may_begin(self, owner: str) -> bool:
        return not self._stopping and bool(self._room or not self._of_owner[owner])

    def _begin(self, job: Job) -> asyncio.Task[None]:
        context, meter = copy_context(), Meter(self._share, self._share.of(job.owner))
        context.run(METER.set, meter)
        job.task = asyncio.get_running_loop().create_task(
            self._run(job), name=f"run {job.run_id}", context=context
        )
        job.task.add_done_callback(lambda _: meter.end())
        job.begun = False
        self._executing.add(job)
        return job.task

    async def _run(self, job: Job) -> None:
        assert self._execute is not None
        job.begun = True
        CURRENT.set(job)
        try:
            await self._execute(job.run_id)
        except Exception:  # a run that cannot even be settled must not take the others with it
            logger.exception("run could not be settled", extra={"run_id": job.run_id})
        finally:
            self._executing.discard(job)
            job.task = None
            self.throughput.note_end()
            self._land(job)
            self._give_back(job)
            self._release(job)

    def _give_back(self, job: Job) -> None:
        """Let others have what the run has had."""
        if job.holds_slot:
            job.holds_slot = False
            self._free += 1
        self._dispatch()

    def _take_off(self, job: Job) -> None:
        """Count the run among those in flight."""
        job.holds_place = True
        self._in_flight += 1
        self._of_owner[job.owner] += 1

    def _land(self, job: Job) -> None:
        """Count it there no more; `_give_back` follows."""
        if job.holds_place:
            job.holds_place = False
            self._in_flight -= 1
            self._of_owner[job.owner] -= 1
            if not self._of_owner[job.owner]:
                del self._of_owner[job.owner]
