"""How late the event loop is: what holds it up keeps everybody waiting."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graph.telemetry.metrics import Metrics

#: How often it is looked at, in seconds.
EVERY = 0.5


@asynccontextmanager
async def measuring(metrics: Metrics, every: float = EVERY) -> AsyncIterator[None]:
    """Look at it for as long as the context lasts."""
    task = asyncio.create_task(_measure(metrics, every))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _measure(metrics: Metrics, every: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        metrics.heartbeat.set(time.time())
        due = loop.time() + every
        await asyncio.sleep(every)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
