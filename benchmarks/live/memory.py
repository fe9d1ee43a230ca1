"""Whether the server grows with the runs that it has done."""

import asyncio
from collections.abc import Iterator

from benchmarks.live.connection import ask
from benchmarks.server import server


def measure(runs: int) -> dict[str, float]:
    """Resident memory before and after many runs, 16 clients at a time."""
    with server() as measured:
        asyncio.run(_load(measured.url, 100))
        before = measured.memory_mb()
        asyncio.run(_load(measured.url, runs))
        return {
            "memory after 100 runs, MB": before,
            f"memory after {runs} more, MB": measured.memory_mb(),
        }


async def _load(url: str, runs: int) -> None:
    rest = iter(range(runs))
    await asyncio.gather(*(_client(url, rest) for _ in range(16)))


async def _client(url: str, rest: Iterator[int]) -> None:
    for number in rest:
        status, _ = await ask(url, "POST", "/runs/wait", {"prompt": f"what is {number} + 1"})
        assert status == 201
