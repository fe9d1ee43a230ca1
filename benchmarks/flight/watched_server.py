"""`python -m benchmarks.flight.watched_server FILE`: `runwright serve`, which notes how late it is.

At its end it writes to FILE, as JSON, for each look at the clock: when it was, how late it came,
and for how long the event loop's thread had computed since the one before; in milliseconds.
On a machine that others use, being late says more about them than about the loop.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

from api.cli.serve import serve
from graph.settings import read_settings

#: How often it looks, in seconds.
EVERY = 0.01


Look = tuple[float, float, float]


async def main(looks: list[Look]) -> None:
    loop = asyncio.get_running_loop()

    def look(due: float, before: float) -> None:
        now, computed = loop.time(), time.thread_time()
        looks.append((time.time(), max(0.0, now - due) * 1000, (computed - before) * 1000))
        loop.call_at(now + EVERY, look, now + EVERY, computed)

    look(loop.time(), time.thread_time())
    await serve(read_settings())


if __name__ == "__main__":
    noted: list[Look] = []
    try:
        uvloop.run(main(noted))
    finally:
        Path(sys.argv[1]).write_text(json.dumps(noted))
