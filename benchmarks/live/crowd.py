"""`python -m benchmarks.live.crowd URL COUNT`: watchers of a run, in a process of their own.

It reads the path of the run from its input, lets them all come at once, and writes how many events
each has seen. It is nice, as watchers elsewhere would be: it takes no CPU that the server wants.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.live.connection import connected, request


class Crowd:
    """Watchers who wait to be told what to watch."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def watch(self, path: str) -> None:
        """Let them come."""
        self._process.stdin.write(f"{path}\n".encode())

    async def seen(self) -> list[int]:
        """How many events each of them has seen, once the streams have ended."""
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def crowd(url: str, count: int) -> AsyncIterator[Crowd]:
    """So many watchers of a server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.live.crowd", url, str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    await process.stdout.readline()  # it has started
    yield Crowd(process)
    process.stdin.close()
    await process.wait()


async def _watch(url: str, path: str) -> int:
    async with connected(url) as (reader, writer):
        writer.write(request("GET", f"{path}/stream"))
        seen = await reader.read()
    return seen.count(b"\nid: ") + seen.startswith(b"id: ")


async def _watch_all(url: str, path: str, count: int) -> list[int]:
    return await asyncio.gather(*[_watch(url, path) for _ in range(count)])


if __name__ == "__main__":
    os.nice(19)
    print("ready", flush=True)
    watched = asyncio.run(_watch_all(sys.argv[1], sys.stdin.readline().strip(), int(sys.argv[2])))
    print(json.dumps(watched), flush=True)
