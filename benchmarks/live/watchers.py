"""What the watchers of one run cost it and the server."""

import asyncio
from datetime import datetime

from benchmarks.live.connection import ask
from benchmarks.live.crowd import crowd
from benchmarks.server import Server, server

#: Twenty steps of 50 ms, so that there is something to see.
STEPS = 20
PROMPT = ", then ".join(["sleep 0.05 seconds"] * STEPS)


def measure(counts: tuple[int, ...] = (0, 1, 10, 500)) -> dict[str, float]:
    """The duration of a run and the CPU of the server, by the number of watchers.

    As many watchers of a run of another server beside it tell what the machine does to a run that
    shares it with them.
    """
    figures: dict[str, float] = {}
    with (
        server(tools="examples.flaky:sleep") as measured,
        server(tools="examples.flaky:sleep") as other,
    ):
        for warmed in (measured, other):
            asyncio.run(_watched(warmed, warmed, 1))
        for count in counts:
            duration, cpu = asyncio.run(_watched(measured, measured, count))
            figures[f"{count} watchers: duration of the run, ms"] = duration
            figures[f"{count} watchers: CPU of the server, ms"] = cpu
        beside, _ = asyncio.run(_watched(measured, other, counts[-1]))
        figures[f"{counts[-1]} watchers of another server: duration of the run, ms"] = beside
        figures["memory after them, MB"] = measured.memory_mb()
    return figures


async def _watched(measured: Server, watched: Server, count: int) -> tuple[float, float]:
    async with crowd(watched.url, count) as watchers:
        before = measured.cpu_ms()
        path = await _posted(measured)
        theirs = path if watched is measured else await _posted(watched)
        watchers.watch(theirs)
        _, record = await ask(measured.url, "GET", f"{path}/wait?timeout=60")
        seen = await watchers.seen()
        cpu = measured.cpu_ms() - before
    _, told = await ask(watched.url, "GET", f"{theirs}/wait?timeout=60")
    assert seen == [told["last_event_id"]] * count, (seen, told["last_event_id"])
    assert len(record["execution_log"]) == STEPS
    events = (await ask(measured.url, "GET", f"{path}/events"))[1]["events"]
    return _seconds(events[0]["time"], events[-1]["time"]) * 1000, cpu


async def _posted(measured: Server) -> str:
    _, created = await ask(measured.url, "POST", "/runs", {"prompt": PROMPT})
    return f"/runs/{created['run_id']}"


def _seconds(first: str, last: str) -> float:
    began, ended = (datetime.fromisoformat(moment) for moment in (first, last))
    return (ended - began).total_seconds()
