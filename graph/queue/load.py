"""How busy an executor is: how many runs it has, and how fast they end."""

import time
from collections import deque
from collections.abc import Callable

from typing_extensions import TypedDict

#: How far back is looked, in seconds, and over how many ends at most.
WINDOW, ENDS = 60.0, 1000

#: The shortest and longest time that a client is asked to wait, in seconds.
SHORTEST, LONGEST = 1.0, 60.0


class Throughput:
    """The measured rate of ends, so that a refused client can be told when to come again.

    `clock` in seconds. `fleet_rate`: ends in a second of all processes that share the database,
    where it is known; it stands in the place of this one's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=ENDS)
        self.fleet_rate: float | None = None

    def note_end(self) -> None:
        """A run has ended just now."""
        self._ends.append(self._clock())

    def rate(self) -> float | None:
        """Ends in a second lately; None while none is known."""
        if self.fleet_rate is not None:
            return self.fleet_rate or None
        now = self._clock()
        while self._ends and self._ends[0] < now - WINDOW:
            self._ends.popleft()
        if not self._ends:
            return None
        return len(self._ends) / max(now - self._ends[0], SHORTEST)  # one end is no rate as yet

    def time_for(self, runs: float) -> float:
        """How long that many ends take, in seconds; the longest while none is known."""
        rate = self.rate()
        return LONGEST if rate is None else min(max(runs / rate, SHORTEST), LONGEST)


class Load(TypedDict):
    """How many runs there are here, how many there may be, and how many end in a second.

    `ends_per_s` is measured over the last minute, of all owners; None while no run has ended.
    """

    in_flight: int
    executing: int
    queued: int
    backoff: int
    max_in_flight: int
    max_executing: int
    ends_per_s: float | None
