"""How a node sits out the time until its next attempt."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Sits out a backoff until the given epoch second.
Wait = Callable[[float], Awaitable[None]]


async def sleep_until(moment: float) -> None:
    """Wait until an epoch second; returns at once when it has passed."""
    await asyncio.sleep(max(0.0, moment - time.time()))
