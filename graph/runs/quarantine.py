"""In which order, and how many at once, the runs go on that an earlier process left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from graph.runs.live import LiveRun, LiveRuns
from nodes.contract.steps import WithoutSlot

#: So many go on at once until they have got further: if this process ends as well, the others
#: have not been started in vain.
AT_ONCE = 4

#: How long one that does not get further keeps the next from going on, in seconds; a quarantined
#: run keeps all others.
SLOT_SECONDS, QUARANTINE_SECONDS = 0.25, 2.0


class Quarantine:
    """Tells the run that ends its process from those that only were there.

    As long as a quarantined run gets no further nothing else is executed, so that it takes nobody
    with it, and an innocent one has the machine to itself.
    """

    def __init__(self, runs: LiveRuns) -> None:
        self._runs = runs
        self._alone = asyncio.Semaphore(1)
        self._some = asyncio.Semaphore(AT_ONCE)
        self._clear = asyncio.Event()
        self._clear.set()

    def quarantine(self, live: LiveRun) -> None:
        """Let this run go on alone, and the others after it."""
        live.quarantined = True
        self._clear.clear()

    def forget(self, live: LiveRun) -> None:
        """Let nobody wait for this run any more."""
        live.quarantined = False
        if not self._clear.is_set() and not any(one.quarantined for one in self._runs):
            self._clear.set()

    @asynccontextmanager
    async def slot(
        self, live: LiveRun, without_slot: WithoutSlot
    ) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot of the run; it calls what it is given here when it has got further.

        It waits `without_slot`, since those that are let go on before it may need all there are.
        """
        quarantined = live.quarantined
        slots = self._alone if quarantined else self._some
        over = True

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                slots.release()
                self.forget(live)

        try:
            async with without_slot():
                if not quarantined:
                    await self._clear.wait()
                await slots.acquire()
                over = False
            seconds = QUARANTINE_SECONDS if quarantined else SLOT_SECONDS
            timer = asyncio.get_running_loop().call_later(seconds, end)
            try:
                yield end
            finally:
                timer.cancel()
        finally:
            end()
