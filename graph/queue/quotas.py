"""What one owner may take of the server that others use too."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from graph.state.row import NO_QUOTA, Kept, Quota, RunRow

#: What a minute has, in seconds.
MINUTE = 60.0


class TooManyPosts(Exception):
    """The owner has posted as often as a minute allows; `retry_after` is in seconds."""

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(f"{limit} posts a minute are allowed")
        self.limit = limit
        self.retry_after = retry_after


class NoRoom(Exception):
    """The owner keeps as much as is allowed: so many runs, or bytes of them."""

    def __init__(self, what: Literal["runs", "bytes"], kept: int, limit: int) -> None:
        super().__init__(f"{kept} {what} are kept, of {limit} that are allowed")
        self.what = what
        self.kept = kept
        self.limit = limit


class RunUsedUp(Exception):
    """The run was retried or forked as often as one may be: each of it adds to its record."""

    def __init__(self, run_id: str, what: Literal["retries", "forks"], limit: int) -> None:
        super().__init__(f"run {run_id} has had {limit} {what}, as many as are allowed")
        self.run_id = run_id
        self.what = what
        self.limit = limit


@dataclass(frozen=True)
class Quotas:
    """What each owner may take; 0 is no limit.

    `posts` in a minute: whatever is planned or executed for them. `keeping`: what is stored.
    """

    posts: int = 0
    retries: int = 0
    keeping: Quota = NO_QUOTA


#: No limit at all.
NO_QUOTAS = Quotas()


@dataclass(frozen=True)
class Usage:
    """What an owner has taken: posts of the minute that did not come back yet, and what is kept."""

    posts: int
    kept: Kept


class PostRate:
    """Counts posts by owner: as many as a minute has at once, and then as they come back, evenly.

    It is counted in this process, and begins anew with it. `clock` in seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        #: Of each owner: how many were posted that have not come back, and when that was so.
        self._posted: dict[str, tuple[float, float]] = {}

    def take(self, owner: str) -> None:
        """Count one post. Raises `TooManyPosts`, and then counts none."""
        if not self._limit:
            return
        now, posted = self._clock(), self._now(owner)
        if posted + 1 > self._limit:
            seconds = (posted + 1 - self._limit) * MINUTE / self._limit
            raise TooManyPosts(self._limit, seconds)
        self._posted[owner] = posted + 1, now

    def posted(self, owner: str) -> int:
        """How many of the minute's posts are taken."""
        return math.ceil(self._now(owner))

    def _now(self, owner: str) -> float:
        posted, then = self._posted.get(owner, (0.0, 0.0))
        return max(0.0, posted - (self._clock() - then) * self._limit / MINUTE)


def refusal(row: RunRow, kept: Kept, quota: Quota) -> Exception:
    """Why a run was not stored beside what is kept of its owner."""
    if 0 < quota.runs <= kept.runs:
        return NoRoom("runs", kept.runs, quota.runs)
    if 0 < quota.bytes <= kept.bytes:
        return NoRoom("bytes", kept.bytes, quota.bytes)
    return RunUsedUp(row.forked_from or row.run_id, "forks", quota.forks)


# When whoever is refused may come again.


#: How far back is looked, in seconds, and over how many ends at most.
WINDOW, ENDS = 60.0, 1000

#: The shortest and longest time that a client is asked to wait, in seconds.
SHORTEST, LONGEST = 1.0, 60.0


class Throughput:
    """The measured rate of ends, so that a refused client can be told when to come again.

    `clock` in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=ENDS)
        self.told: float | None = None  # ends a second, of other processes too, where it is known

    def note_end(self) -> None:
        """A run has ended just now."""
        self._ends.append(self._clock())

    def time_for(self, runs: float) -> float:
        """How long that many ends take, in seconds; the longest while none is known."""
        rate = self._rate() if self.told is None else self.told
        return min(max(runs / rate, SHORTEST), LONGEST) if rate else LONGEST

    def _rate(self) -> float:
        now = self._clock()
        while self._ends and self._ends[0] < now - WINDOW:
            self._ends.popleft()
        # One end is no rate as yet.
        return len(self._ends) / max(now - self._ends[0], SHORTEST) if self._ends else 0.0
