"""Whose call of a model is next: so many of each model at once, and fair between those who wait."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from graph.queue.fair import Entry, FairQueue

#: Notes that nothing of the run is under way.
Suspended = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True, eq=False)
class _Waiting(Entry):
    """A call that waits for a slot."""

    admitted: asyncio.Future[None]


class _Line:
    """The calls of one model."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self.calls: Counter[str] = Counter()  # under way, by owner
        self.queue: FairQueue[_Waiting] = FairQueue(alternating=True)

    def let_in(self) -> None:
        """Let in the next ones, as long as there is room."""
        while self.free and self.queue:
            self.free -= 1
            self.queue.popleft().admitted.set_result(None)


class ModelCalls:
    """At most `limit` calls of each model at once; who waits for a slot is `suspended`.

    Owners take turns. Of one owner's calls, the first ones of runs and later ones (repairs, further
    tries, further models) take turns as well, so that neither keeps the other waiting.
    """

    def __init__(self, limit: int, suspended: Suspended = nullcontext) -> None:
        self._limit = limit
        self._suspended = suspended
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def slot(self, model: str, owner: str, *, later: bool) -> AsyncIterator[float]:
        """The slot of a call, for as long as the call takes; how long it was waited for, seconds.

        `later`: the run has made a call before.
        """
        line = self._lines.setdefault(model, _Line(self._limit))
        waited = await self._wait(line, owner, later=later)
        line.calls[owner] += 1
        try:
            yield waited
        finally:
            line.calls -= Counter((owner,))
            line.free += 1
            line.let_in()

    async def _wait(self, line: _Line, owner: str, *, later: bool) -> float:
        if line.free:  # nobody waits then
            line.free -= 1
            return 0.0
        waiting, due = _Waiting(asyncio.get_running_loop().create_future()), time.monotonic()
        line.queue.append(waiting, owner, begun=later)
        with self._suspended():
            try:
                await waiting.admitted
            except asyncio.CancelledError:
                if not line.queue.remove(waiting):  # it was admitted just now
                    line.free += 1
                    line.let_in()
                raise
        return time.monotonic() - due

    def load(self, model: str, owner: str | None = None) -> tuple[int, int]:
        """How many calls of a model are under way, and how many wait for a slot.

        Those of an owner, or of all.
        """
        if (line := self._lines.get(model)) is None:
            return 0, 0
        if owner is None:
            return self._limit - line.free, len(line.queue)
        return line.calls[owner], line.queue.length_of(owner)
