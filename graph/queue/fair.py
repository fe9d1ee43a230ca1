"""The queue of accepted runs: first come first served per owner, round robin between owners."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable


class FairQueue:
    """Run ids by owner; one owner's many runs do not keep another's few waiting."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[str]] = (
            OrderedDict()
        )  # the owner who is next comes first
        self._owners: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._owners

    def append(self, run_id: str, owner: str) -> None:
        """Queue a run behind the others of its owner."""
        self._owners[run_id] = owner
        self._queues.setdefault(owner, deque()).append(run_id)

    def popleft(self) -> str:
        """The run that is next. Raises `KeyError` when there is none."""
        owner, runs = self._queues.popitem(last=False)
        run_id = runs.popleft()
        del self._owners[run_id]
        if runs:
            self._queues[owner] = runs
        return run_id

    def remove(self, run_id: str) -> bool:
        """Take a run out of the queue; whether it was in it."""
        owner = self._owners.pop(run_id, None)
        if owner is None:
            return False
        runs = self._queues[owner]
        runs.remove(run_id)
        if not runs:
            del self._queues[owner]
        return True

    def clear(self) -> None:
        """Forget every run."""
        self._queues.clear()
        self._owners.clear()

    def position(self, run_id: str) -> int | None:
        """The place of the run, counted from 1; None when it is not queued."""
        owner = self._owners.get(run_id)
        if owner is None:
            return None
        rounds = self._queues[owner].index(run_id)  # before its own
        before, earlier = 0, True
        for other, runs in self._queues.items():
            earlier = earlier and other != owner
            before += min(len(runs), rounds + earlier)
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
