"""What the watchers of one run cost it and the server."""

import asyncio
from datetime import datetime

from benchmarks.live.connection import ask, connected, request
from benchmarks.server import Server, server

#: Twenty steps of 50 ms, so that there is something to see.
STEPS = 20
PROMPT = ", then ".join(["sleep 0.05 seconds"] * STEPS)


def measure(counts: tuple[int, ...] = (0, 1, 10, 500)) -> dict[str, float]:
    """The duration of a run and the CPU of the server, by the number of watchers."""
    figures: dict[str, float] = {}
    with server(tools="examples.flaky:sleep") as measured:
        asyncio.run(_watched(measured, 1))
        for count in counts:
            duration, cpu = asyncio.run(_watched(measured, count))
            figures[f"{count} watchers: duration of the run, ms"] = duration
            figures[f"{count} watchers: CPU of the server, ms"] = cpu
        figures["memory after them, MB"] = measured.memory_mb()
    return figures


async def _watched(measured: Server, count: int) -> tuple[float, float]:
    _, created = await ask(measured.url, "POST", "/runs", {"prompt": PROMPT})
    before = measured.cpu_ms()
    path = f"/runs/{created['run_id']}"
    watchers = [asyncio.create_task(_watch(measured.url, path)) for _ in range(count)]
    _, record = await ask(measured.url, "GET", f"{path}/wait?timeout=60")
    for events in await asyncio.gather(*watchers):
        assert events == record["last_event_id"], (events, record["last_event_id"])
    cpu = measured.cpu_ms() - before
    log = record["execution_log"]
    assert len(log) == STEPS
    # Without the steps themselves, which take the same time in every run.
    events = (await ask(measured.url, "GET", f"{path}/events"))[1]["events"]
    return _seconds(events[0]["time"], events[-1]["time"]) * 1000, cpu


async def _watch(url: str, path: str) -> int:
    """How many events it saw."""
    async with connected(url) as (reader, writer):
        writer.write(request("GET", f"{path}/stream"))
        seen = await reader.read()
    return seen.count(b"\nid: ") + seen.startswith(b"id: ")


def _seconds(first: str, last: str) -> float:
    began, ended = (datetime.fromisoformat(moment) for moment in (first, last))
    return (ended - began).total_seconds()
