"""How a node sits out the time until its next attempt."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Sits out a backoff until the given epoch second; the seconds that passed after it, while others
#: had all the slots.
Wait = Callable[[float], Awaitable[float]]


async def sleep_until(moment: float) -> float:
    """Wait until an epoch second; returns at once when it has passed. Needs no slot."""
    # Timers count in whole milliseconds and on another clock, so one may ring too early.
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110 - time passes, nothing else
        await asyncio.sleep(left)
    return 0.0
