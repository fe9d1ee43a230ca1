"""`python -m benchmarks.flight.watched_server FILE`: `runwright serve`, which notes how late it is.

At its end it writes to FILE how late each look at the clock came, in milliseconds, as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from api.cli.serve import serve
from graph.settings import read_settings

#: How often it looks, in seconds.
EVERY = 0.01


async def main(late: list[float]) -> None:
    loop = asyncio.get_running_loop()

    def look(due: float) -> None:
        now = loop.time()
        late.append(max(0.0, now - due) * 1000)
        loop.call_at(now + EVERY, look, now + EVERY)

    look(loop.time())
    await serve(read_settings())


if __name__ == "__main__":
    noted: list[float] = []
    try:
        uvloop.run(main(noted))
    finally:
        Path(sys.argv[1]).write_text(json.dumps(noted))
