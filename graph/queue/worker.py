"""A worker takes jobs that all processes share, keeps them by a sign of life, and gives them back.

A worker that gives none for `LEASE` seconds is taken for dead, and others do its jobs.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from graph.storage.fleet import HeldRun, Lease, News, QueuedRun, RunJobs

logger = logging.getLogger("runwright.worker")

#: How often a sign of life is given, and after which silence a worker is taken for dead, seconds.
BEAT, LEASE = 1.0, 5.0

#: How often it is looked for jobs and orders of which no news came, and, less often, for runs that
#: have no job, in seconds.
LOOK, AUDIT = 1.0, 30.0

#: After so many seconds without room others are told of the jobs that this worker was told of.
PASSED_ON = 0.02

#: The wait before the database is asked again that did not answer, in seconds.
AGAIN = 0.5

#: After so many seconds in which the event loop does not come round no more sign of life is given.
LOOP_SILENCE = 60.0

#: How long a sign of life may take, in seconds: of the addresses of a database that fails over the
#: first ones may lead nowhere.
REACHED = 3 * LEASE

#: What a process ends with that was taken for dead.
TAKEN_FOR_DEAD = 75


@dataclass(frozen=True)
class Carried:
    """What became of a job: done, not done, or somebody else has it; the run's thread.

    One that is done only if its run has ended is as `otherwise` says if not. One that is not done
    is resumed after a `pause`, in seconds; it may have `failed`, or waits for an attempt that is
    `due` then, epoch seconds.
    """

    outcome: Literal["done", "again", "lost"]
    thread_id: str = ""
    pause: float = 0.0
    due: float | None = None
    failed: bool = False
    otherwise: "Carried | None" = None


def end_process() -> None:
    """End at once: all that is executed here is executed elsewhere by now."""
    logger.error("this worker was taken for dead, and its runs were taken over; it ends")
    logging.shutdown()
    os._exit(TAKEN_FOR_DEAD)


class Heart:
    """Gives signs of life from a thread of its own, whatever holds up the event loop.

    `jobs` makes what reaches the database from there; `end` is called when it is too late.
    """

    def __init__(
        self, jobs: Callable[[], RunJobs], worker: int, end: Callable[[], None] = end_process
    ) -> None:
        self._jobs = jobs
        self._worker = worker
        self._end = end
        self._stopped = threading.Event()
        self._last = self._since = self.loop_seen = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    @property
    def steady(self) -> bool:
        """Whether signs were given long enough to take others for dead that gave none."""
        now = time.monotonic()
        return now - self._last < LEASE / 2 and now - self._since > LEASE

    async def stop(self) -> None:
        """Give no more."""
        self._stopped.set()
        await asyncio.to_thread(self._thread.join, LEASE)

    def _run(self) -> None:
        asyncio.run(self._beat())

    async def _beat(self) -> None:
        jobs = self._jobs()
        try:
            while not self._stopped.is_set():
                if time.monotonic() - self.loop_seen < LOOP_SILENCE:
                    with suppress(Exception):  # it is tried again
                        async with asyncio.timeout(REACHED):
                            alive = await jobs.heartbeat(self._worker)
                        self._note()
                        if not alive:
                            self._end()
                            return
                await asyncio.to_thread(self._stopped.wait, BEAT)
        finally:
            await jobs.aclose()

    def _note(self) -> None:
        now = time.monotonic()
        if now - self._last > LEASE / 2:
            self._since = now
        self._last = now


class JobWorker:
    """Takes jobs as long as there is `room`, and orders always; `carry` does one, which has its
    room as soon as that is called.

    `ordered` is shown what was ordered of a run that is held, `lose` is told of one that another
    process has by now, `bury` that other workers were found dead, and `pass_on` that there is no
    room for a job of which only this one was told. `errors` are the storage's.
    """

    def __init__(
        self,
        jobs: RunJobs,
        heart: Callable[[int], Heart],
        errors: tuple[type[Exception], ...],
        *,
        room: Callable[[], bool],
        carry: Callable[[QueuedRun], Awaitable[Carried]],
        ordered: Callable[[QueuedRun, HeldRun], None],
        lose: Callable[[QueuedRun], None],
        bury: Callable[[], None],
        pass_on: Callable[[], None],
    ) -> None:
        self._jobs = jobs
        self._make_heart = heart
        self._errors = errors
        self._room = room
        self._carry = carry
        self._ordered = ordered
        self._lose = lose
        self._bury = bury
        self._pass_on = pass_on
        self._passing: asyncio.TimerHandle | None = None
        self._held: dict[QueuedRun, asyncio.Task[None]] = {}
        self._queued, self._look = asyncio.Event(), asyncio.Event()
        #: Jobs that were told of and not looked for, and whether others may wait of which no news
        #: came, or for which there was no room: each look at the queue is a transaction.
        self._told, self._may_be_more = 0, True
        self._tasks: list[asyncio.Task[None]] = []
        self._worker = 0
        self._heart: Heart | None = None
        self._ghosts: set[int] = set()
        self._audited = 0.0

    async def open(self) -> int:
        """Begin to take jobs; under which number. Raises what the storage raises."""
        self._worker = await self._jobs.join()
        self._heart = self._make_heart(self._worker)
        self._tasks = [asyncio.create_task(self._take()), asyncio.create_task(self._watch())]
        return self._worker

    def hear(self, news: News, run_id: str) -> None:
        """Something was told; of jobs that were given back together no run is named."""
        if news == "changed":
            return
        if news == "queued" and run_id:
            self._told += 1
            if self._passing is None and not self._room():
                loop = asyncio.get_running_loop()
                self._passing = loop.call_later(PASSED_ON, self._pass_on_late)
        else:
            self._may_be_more = True
        if news != "queued":
            self._look.set()
        self._queued.set()

    def _pass_on_late(self) -> None:
        self._passing = None
        if not self._room():
            self._pass_on()

    def look_for_room(self) -> None:
        """There may be room for another run."""
        if self._may_be_more:
            self._queued.set()

    async def stop_taking(self) -> None:
        """Take no more jobs, but keep those that are held, and pass on what it is told of."""
        self._room = lambda: False
        for task in self._tasks[:1]:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Leave, once all that was held has ended and is given back."""
        if self._held:
            await asyncio.wait([*self._held.values()], timeout=LEASE)
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
        if self._passing:
            self._passing.cancel()
        if self._heart:  # first, or who has left would find itself taken for dead
            await self._heart.stop()
        with suppress(*self._errors):
            await self._jobs.leave(self._worker)

    async def _take(self) -> None:
        while True:
            self._queued.clear()
            told, room = self._told, self._room()
            may_be_more, self._may_be_more = self._may_be_more, False
            try:
                taken = await self._jobs.take(self._worker, orders_only=not room)
            except self._errors:
                self._may_be_more = True
                await asyncio.sleep(AGAIN)
                continue
            if taken is not None:
                self._may_be_more |= may_be_more
                self._held[taken] = asyncio.create_task(self._hold(taken, self._carry(taken)))
                self._told = max(0, self._told - 1)
                if self._told or self._may_be_more:
                    continue
            else:  # but what was told of meanwhile
                self._told -= told
                self._may_be_more |= not room
            try:
                async with asyncio.timeout(LOOK):
                    await self._queued.wait()
            except TimeoutError:
                self._may_be_more = True

    async def _hold(self, taken: QueuedRun, carrying: Awaitable[Carried]) -> None:
        more = True
        try:
            try:
                carried = await carrying
            except self._errors:
                carried = Carried("again", pause=AGAIN)
            except Exception:
                logger.exception("job failed", extra={"run_id": taken.run_id})
                carried = Carried("again", pause=LEASE, failed=True)
            while carried.outcome != "lost":
                try:
                    more = await self._end_job(taken.lease, carried)
                    break
                except self._errors:
                    await asyncio.sleep(AGAIN)
        finally:
            del self._held[taken]
            self._may_be_more |= more
            if self._may_be_more:
                self._queued.set()

    async def _end_job(self, lease: Lease, carried: Carried) -> bool:
        """Whether there may be another one of which no news comes."""
        if carried.outcome == "done":
            only = carried.otherwise is not None
            finished = await self._jobs.finish(lease, carried.thread_id, only_if_ended=only)
            if finished.gone or carried.otherwise is None:
                return finished.more
            carried = carried.otherwise
        pause, due, failed = carried.pause, carried.due, carried.failed
        await self._jobs.give_back(lease, pause=pause, due=due, failed=failed)
        return True

    async def _watch(self) -> None:
        while True:
            self._look.clear()
            assert self._heart is not None
            self._heart.loop_seen = time.monotonic()
            with suppress(*self._errors):
                await self._look_at([*self._held])
                await self._sweep(self._heart.steady)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._look.wait()

    async def _look_at(self, held: Sequence[QueuedRun]) -> None:
        if not held:
            return
        good = {one.lease: one for one in await self._jobs.held([one.lease for one in held])}
        for taken in held:
            if taken not in self._held:  # it has ended meanwhile
                continue
            if found := good.get(taken.lease):
                self._ordered(taken, found)
            else:
                self._lose(taken)

    async def _sweep(self, steady: bool) -> None:
        doing = {*await self._jobs.doing(self._worker)}
        # What was taken just now is not held yet: only what is found twice is nobody's.
        ghosts = doing - {one.lease.job for one in self._held}
        left = sorted(ghosts & self._ghosts)
        self._ghosts = ghosts
        given, dead = await self._jobs.sweep(self._worker, left, silent=LEASE, steady=steady)
        if dead:
            self._bury()
        if given:
            logger.warning("jobs that nobody did are done by others", extra={"jobs": given})
        if steady and time.monotonic() - self._audited > AUDIT:
            self._audited = time.monotonic()
            await self._jobs.audit()
