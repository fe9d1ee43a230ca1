"""What one owner may take of the server that others use too."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from graph.state.row import NO_QUOTA, Kept, Quota, RunRow
from graph.storage.fleet import Posts

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
