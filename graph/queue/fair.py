"""What is fair between owners: who is next in a queue, and how much one may have of the server.

A queue is fair, too, between what has begun and what has not. Its load is how many there are, and
how fast they end: who is refused is told when to come again.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, NoReturn, TypeVar

from typing_extensions import TypedDict

from graph.state.row import NO_QUOTA, Kept, Quota, RunRow
from graph.storage.fleet import Posts


@dataclass(slots=True, eq=False, kw_only=True)
class Entry:
    """What waits in a queue; written by the queue alone."""

    owner: str = ""
    queued: bool = False


E = TypeVar("E", bound=Entry)


def _anybody(_: str) -> bool:
    """Every owner may begin something."""
    return True


class FairQueue(Generic[E]):
    """Entries by owner, who take turns: one owner's many do not keep another's few waiting.

    In an owner's turn what has begun comes before what is new; in an `alternating` queue each of
    the two comes every second time, as long as both wait.
    """

    def __init__(self, *, alternating: bool = False) -> None:
        self._owners: OrderedDict[str, _Lanes[E]] = OrderedDict()  # who is next comes first
        self._alternating = alternating
        self._length = self._new = 0

    def __len__(self) -> int:
        return self._length

    @property
    def new(self) -> int:
        """How many of them have not begun."""
        return self._new

    def new_of(self, owner: str) -> int:
        """How many of an owner have not begun."""
        return len(self._owners[owner].new) if owner in self._owners else 0

    def length_of(self, owner: str) -> int:
        """How many an owner has in it."""
        lanes = self._owners.get(owner)
        return len(lanes.begun) + len(lanes.new) if lanes else 0

    def append(self, entry: E, owner: str, *, begun: bool = False) -> None:
        """Queue an entry behind the others of its owner that have begun, or have not, as it."""
        entry.owner, entry.queued = owner, True
        lanes = self._owners.setdefault(owner, _Lanes())
        (lanes.begun if begun else lanes.new).append(entry)
        self._count(1, begun=begun)

    def popleft(self, may_begin: Callable[[str], bool] = _anybody) -> E:
        """The entry that is next, a new one only where its owner may begin something.

        Raises `KeyError` when there is none.
        """
        for owner, lanes in self._owners.items():
            if lanes.begun and not (self._alternating and lanes.new and lanes.had_begun):
                lanes.had_begun = begun = True
            elif lanes.new and may_begin(owner):
                lanes.had_begun = begun = False
            else:
                continue
            entry = (lanes.begun if begun else lanes.new).popleft()
            entry.queued = False
            self._count(-1, begun=begun)
            del self._owners[owner]
            if lanes.begun or lanes.new:
                self._owners[owner] = lanes
            return entry
        raise KeyError

    def remove(self, entry: E) -> bool:
        """Take an entry out of the queue; whether it was in it."""
        if not entry.queued:
            return False
        lanes = self._owners[entry.owner]
        begun = entry not in lanes.new
        (lanes.begun if begun else lanes.new).remove(entry)
        entry.queued = False
        self._count(-1, begun=begun)
        if not (lanes.begun or lanes.new):
            del self._owners[entry.owner]
        return True

    def clear_new(self) -> list[E]:
        """Take every entry that has not begun out of the queue."""
        cleared = [entry for lanes in self._owners.values() for entry in lanes.new]
        for lanes in self._owners.values():
            lanes.new.clear()
        for owner in [owner for owner, lanes in self._owners.items() if not lanes.begun]:
            del self._owners[owner]
        for entry in cleared:
            entry.queued = False
        self._length -= self._new
        self._new = 0
        return cleared

    def position(self, entry: E) -> int | None:
        """The place of the entry among those that have not begun, counted from 1.

        None when it is not queued.
        """
        if not entry.queued:
            return None
        rounds = self._owners[entry.owner].new.index(entry)  # before its own
        before, earlier = 0, True
        for other, lanes in self._owners.items():
            earlier = earlier and other != entry.owner
            before += min(len(lanes.new), rounds + earlier)
        return before + 1

    def _count(self, change: int, *, begun: bool) -> None:
        self._length += change
        self._new += 0 if begun else change


class _Lanes(Generic[E]):
    """What one owner has in the queue, and which of both came last."""

    __slots__ = ("begun", "had_begun", "new")

    def __init__(self) -> None:
        self.begun: deque[E] = deque()
        self.new: deque[E] = deque()
        self.had_begun = False


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


# What one owner may take of the server that others use too.


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

    `posts` in a minute: whatever is planned or executed for them. `stored`: what is kept.
    """

    posts: int = 0
    retries: int = 0
    stored: Quota = NO_QUOTA


#: No limit at all.
NO_QUOTAS = Quotas()


@dataclass(frozen=True)
class Usage:
    """What an owner has taken: posts of the minute that did not come back yet, and what is kept."""

    posts: int
    kept: Kept


class PostRate:
    """Counts posts by owner: as many as a minute has at once, and then as they come back, evenly.

    It is counted in this process, and begins anew with it, unless it is `shared`. `clock` in
    seconds.
    """

    def __init__(
        self,
        limit: int,
        shared: Posts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._shared = shared
        #: As which `Quota` has them: where they are counted with what is stored, else 0.
        self.counted_with_run = limit if shared else 0
        self._clock = clock
        #: Of each owner: how many were posted that have not come back, and when that was so.
        self._posted: dict[str, tuple[float, float]] = {}

    async def take(self, owner: str) -> None:
        """Count one post. Raises `TooManyPosts`, and then counts none, and the storage's errors."""
        if not self._limit:
            return
        posted = self._now(owner)
        granted = posted + 1 <= self._limit
        if granted and self._shared is not None:  # others can only have posted more
            taken = await self._shared.take(owner, self._limit)
            granted, posted = taken.granted, taken.posted - taken.granted
        if not granted:
            self.refuse(owner, posted)
        self._posted[owner] = posted + 1, self._clock()

    def expect(self, owner: str) -> None:
        """Before a post is counted elsewhere. Raises `TooManyPosts` where that is in vain."""
        if self._limit and self._now(owner) + 1 > self._limit:  # others can only have posted more
            self.refuse(owner, self._now(owner))

    def note(self, owner: str) -> None:
        """A post was counted elsewhere."""
        self._posted[owner] = self._now(owner) + 1, self._clock()

    def refuse(self, owner: str, posted: float) -> NoReturn:
        """Raise `TooManyPosts`, where so many have not come back."""
        self._posted[owner] = posted, self._clock()
        raise TooManyPosts(self._limit, (posted + 1 - self._limit) * MINUTE / self._limit)

    async def posted(self, owner: str) -> int:
        """How many of the minute's posts are taken. Raises the storage's errors."""
        if self._limit and self._shared is not None:
            return math.ceil(await self._shared.posted(owner, self._limit))
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
