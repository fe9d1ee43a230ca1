"""Waking those who wait for a change, a few at a time."""

import asyncio

#: How many are woken at once, and how long everybody else then gets to work, in seconds: telling
#: takes a twentieth of the process, however many are told. Waking 500 at once would hold up the run
#: that they watch; so the last of them hears of it a third of a second later.
BATCH, PAUSE = 8, 0.005


class Bell:
    """Rung when something has changed; all who wait by then are woken, first those who came first.

    Whoever wakes looks for himself what there is: changes in between are one to him. A `patient`
    bell wakes nobody before what rang it has had a `PAUSE` to go on.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        # Dictionaries for their order, and since one who goes away is found in them at once.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._due: dict[asyncio.Future[None], None] = {}
        self._ringing: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return after the next ring."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = None
        try:
            await woken
        finally:
            self._waiting.pop(woken, None)
            self._due.pop(woken, None)

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._due |= self._waiting
        self._waiting.clear()
        if self._ringing is None:
            if not self._patient:
                self._wake()
            if self._due:
                self._ringing = asyncio.get_running_loop().create_task(self._wake_the_rest())

    def _wake(self) -> None:
        for woken in list(self._due)[:BATCH]:
            del self._due[woken]
            if not woken.done():  # its waiter was cancelled, and has not noticed yet
                woken.set_result(None)

    async def _wake_the_rest(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(PAUSE)
                self._wake()
        finally:
            self._ringing = None
