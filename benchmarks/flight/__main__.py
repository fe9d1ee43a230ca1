"""`python -m benchmarks.flight`: runs that are posted at once, over a model that takes its time.

The model is a local process. Beside the time until all are settled it tells how late the event loop
was, and what a run in flight takes of memory.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.live.connection import ask
from benchmarks.planning.provider import SUMS, provider
from benchmarks.server import Server
from benchmarks.table import print_table

MODEL = "openai/gpt-5-mini"

PARTS = ("once", "later", "few", "memory")

#: Clients that post at once, and runs before the measurement, so that everything is loaded.
CLIENTS, BEFORE = 64, 50


def measure(runs: int, calls: int, delay: float) -> dict[str, float]:
    """So many runs at once, so many calls of the model at once, each answered after `delay` s."""
    name = f"{calls} calls of {delay:g} s"
    with tempfile.TemporaryDirectory() as folder:
        late = Path(folder) / "late.json"
        with _server(folder, late, runs, calls, delay) as started:
            asyncio.run(_load(started, BEFORE))
            began = time.time()
            figures = asyncio.run(_load(started, runs))
            ended = time.time()
        looks = [look for look in json.loads(late.read_text()) if began < look[0] < ended]
    held, behind = sorted(look[2] for look in looks), sorted(look[1] for look in looks)
    return {
        f"{name}: all settled, s": figures["seconds"],
        f"{name}: CPU-ms per run": figures["cpu"],
        f"{name}: most in flight": figures["in_flight"],
        f"{name}: loop late p50, ms": statistics.median(behind),
        f"{name}: loop late p99, ms": statistics.quantiles(behind, n=100)[98],
        f"{name}: loop computing between two looks p99, ms": statistics.quantiles(held, n=100)[98],
        f"{name}: the same at most, ms": held[-1],
    }


def memory(runs: int, calls: int) -> dict[str, float]:
    """What so many runs take that are all in flight, in so many calls that nobody answers."""
    with tempfile.TemporaryDirectory() as folder:
        late = Path(folder) / "late.json"
        with _server(folder, late, runs, calls, 3600.0, first=BEFORE) as started:
            asyncio.run(_load(started, BEFORE))
            before = started.memory_mb()
            asyncio.run(_post(started, runs))
            asyncio.run(_in_calls(started, min(runs, calls), runs))
            grown = (started.memory_mb() - before) * 1000
            started.kill()
    where = "in a call" if calls >= runs else f"of which {calls} in a call"
    return {f"{runs} runs in flight, {where}: kB a run": grown / runs}


@contextmanager
def _server(
    folder: str, late: Path, runs: int, calls: int, delay: float, *, first: int = 0
) -> Iterator[Server]:
    with provider(delay, first=first, plan=SUMS) as base:
        started = Server(
            folder,
            command=(sys.executable, "-m", "benchmarks.flight.watched_server", str(late)),
            models=json.dumps([{"model": MODEL, "api_base": base}]),
            model_calls=str(calls),
            in_flight=str(runs),
            model_timeout="600",
        )
        try:
            yield started
        finally:
            if started.process.poll() is None:
                started.end()


async def _in_calls(server: Server, calls: int, runs: int) -> None:
    """Wait until so many calls are under way, and so many runs in flight."""
    while True:
        _, health = await ask(server.url, "GET", "/health")
        if health["models"][MODEL]["calls"] == calls and health["runs"]["in_flight"] == runs:
            return
        await asyncio.sleep(0.2)


async def _post(server: Server, runs: int) -> None:
    rest = iter(range(runs))

    async def post() -> None:
        for number in rest:
            body = {"prompt": f"note the {number}th thing that nobody else plans"}
            status, answer = await ask(server.url, "POST", "/runs", body)
            assert status == 201, answer

    await asyncio.gather(*(post() for _ in range(CLIENTS)))


async def _load(server: Server, runs: int) -> dict[str, float]:
    """Post the runs, and wait until all are settled; how it was meanwhile."""
    _, before = await ask(server.url, "GET", "/runs?limit=1")
    done = before["counts"].get("completed", 0) + runs
    cpu, began = server.cpu_ms(), time.perf_counter()
    posting = asyncio.create_task(_post(server, runs))
    most = 0
    while True:
        _, health = await ask(server.url, "GET", "/health")
        now = health["runs"]["in_flight"]
        most = max(most, now)
        if posting.done() and not now and not health["runs"]["queued"]:
            break
        await asyncio.sleep(0.2)
    await posting
    seconds = time.perf_counter() - began
    _, after = await ask(server.url, "GET", "/runs?limit=1")
    if after["counts"]["completed"] != done:
        _, failed = await ask(server.url, "GET", "/runs?status=failed&limit=1")
        raise AssertionError((after["counts"], failed["runs"]))
    return {"seconds": seconds, "cpu": (server.cpu_ms() - cpu) / runs, "in_flight": most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="runs at once")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delay", type=float, default=2.0, help="what the model takes, s")
    parser.add_argument("--parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--calls", type=int, default=32, help="calls at once in the last part")
    options = parser.parse_args()
    rounds = [one_round(options) for _ in range(options.rounds)]
    print_table(rounds)


def one_round(options: argparse.Namespace) -> dict[str, float]:
    many, figures, settled = options.runs, {}, {}
    parts = {
        "once": lambda: measure(many, many, 0.0),
        "later": lambda: measure(many, many, options.delay),
        "few": lambda: measure(many, options.calls, options.delay),
        "memory": lambda: memory(many, many) | memory(many, options.calls),
    }
    for part in options.parts:
        measured = parts[part]()
        settled[part] = next(iter(measured.values()))
        figures |= measured
    if {"once", "later"} <= settled.keys():
        name = "ratio: many calls less the delay ÷ many at once"
        figures[name] = (settled["later"] - options.delay) / settled["once"]
    if "few" in settled:
        least = many / options.calls * options.delay
        figures[f"ratio: {options.calls} calls ÷ {least:g} s"] = settled["few"] / least
    return figures


if __name__ == "__main__":
    main()
