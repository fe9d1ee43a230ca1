"""Retention: settled runs are removed some days after their end, few at a time."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from graph.state.row import RunRow
from graph.storage.storage import RunIndex

logger = logging.getLogger("runwright.retention")

DAY = 86_400.0

#: Most runs of one transaction, so that no other write waits long for it.
BATCH = 10

#: How long the storage rests after a batch, in parts of the time that the batch took.
REST = 2.0

#: Bounds of the time between two sweeps, and the longest until the first, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE, FIRST = 0.5, 600.0, 5.0


class Retention:
    """Removes what was settled more than `days` days ago.

    `remove` removes runs by their ids and tells how many; `errors` are what it raises while the
    storage does not answer.
    """

    def __init__(
        self,
        index: RunIndex,
        remove: Callable[[Sequence[str]], Awaitable[int]],
        *,
        days: float,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self._index = index
        self._remove = remove
        self._kept = days * DAY
        self._errors = errors

    async def sweep(self, now: float) -> int:
        """Remove all that is due at an epoch second, in small batches; how many runs that were."""
        removed = 0
        last: RunRow | None = None
        # Beyond the last one seen, since a run that cannot be removed must not stop the others.
        while due := await self._index.settled_before(now - self._kept, after=last, limit=BATCH):
            last, began = due[-1], time.monotonic()
            removed += await self._remove([row.run_id for row in due])
            await asyncio.sleep(REST * (time.monotonic() - began))
        if removed:
            logger.info("runs removed", extra={"runs": removed})
        return removed

    async def keep_sweeping(self) -> None:
        """Sweep until cancelled; a sweep that fails is made up for by the next."""
        pause = min(max(self._kept / 10, SHORTEST_PAUSE), LONGEST_PAUSE)
        await asyncio.sleep(min(pause, FIRST))
        while True:
            try:
                await self.sweep(time.time())
            except self._errors as error:
                logger.warning("runs cannot be removed just now: %s", error)
            except Exception:
                logger.exception("removing runs failed")
            await asyncio.sleep(pause)


@asynccontextmanager
async def sweeping(retention: Retention | None) -> AsyncIterator[None]:
    """Sweep in the background for as long as the context lasts; not at all without a retention."""
    if retention is None:
        yield
        return
    task = asyncio.create_task(retention.keep_sweeping())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
