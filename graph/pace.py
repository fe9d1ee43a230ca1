"""How fast runs come to their end, so that a refused client can be told when to come again."""

import time
from collections import deque
from collections.abc import Callable

#: How far back is looked, in seconds, and over how many ends at most.
WINDOW, ENDS = 60.0, 1000

#: The shortest and longest time that a client is asked to wait, in seconds.
SHORTEST, LONGEST = 1.0, 60.0


class Pace:
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
