"""The queue of accepted runs: first come first served per owner, round robin between owners."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


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
