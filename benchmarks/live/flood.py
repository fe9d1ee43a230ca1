"""Thousands of posts at once: each is accepted and settled, or refused; none is lost."""

import asyncio
import statistics
import time
from collections import Counter

from benchmarks.live.connection import ask
from benchmarks.server import server

#: Fewer than the posts, so that some are refused.
QUEUED = "3000"


def measure(posts: int) -> dict[str, float]:
    """What became of the posts, and how `/health` answered meanwhile."""
    connections = str(2 * posts)
    with server(
        max_queued=QUEUED,
        max_connections=connections,
        max_connections_per_address=connections,
        posts_per_minute=connections,
    ) as measured:
        return asyncio.run(_flood(measured.url, posts))


async def _flood(url: str, posts: int) -> dict[str, float]:
    over = asyncio.Event()
    probe = asyncio.create_task(_probe(url, over))
    began = time.perf_counter()
    answers = await asyncio.gather(*(_post(url, number) for number in range(posts)))
    answered = time.perf_counter() - began
    accepted = [answer["run_id"] for status, answer in answers if status == 201]
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) <= {201, 429}, statuses
    ends = Counter([(await _settled(url, run_id)) for run_id in accepted])
    settled = time.perf_counter() - began
    over.set()
    health = await probe
    assert ends == {"completed": len(accepted)}, ends
    return {
        f"{posts} posts: accepted": statuses[201],
        f"{posts} posts: refused with 429": statuses[429],
        f"{posts} posts: all answered, s": answered,
        f"{posts} posts: settled": sum(ends.values()),
        f"{posts} posts: all settled, s": settled,
        f"{posts} posts: /health p50, ms": statistics.median(health),
        f"{posts} posts: /health p99, ms": statistics.quantiles(health, n=100)[98],
    }


async def _post(url: str, number: int) -> tuple[int, dict[str, str]]:
    return await ask(url, "POST", "/runs", {"prompt": f"what is {number} + 1"})


async def _settled(url: str, run_id: str) -> str:
    status, record = await ask(url, "GET", f"/runs/{run_id}/wait?timeout=300")
    assert status == 200, record
    return str(record["status"])


async def _probe(url: str, over: asyncio.Event) -> list[float]:
    times = []
    while not over.is_set():
        began = time.perf_counter()
        status, _ = await ask(url, "GET", "/health")
        assert status == 200
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02)
    return times
