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
from pathlib import Path

from benchmarks.live.connection import ask
from benchmarks.planning.provider import provider
from benchmarks.server import Server
from benchmarks.table import print_table

MODEL = "openai/gpt-5-mini"

#: Clients that post at once, and runs before the measurement, so that everything is loaded.
CLIENTS, BEFORE = 64, 50


def measure(runs: int, calls: int, delay: float) -> dict[str, float]:
    """So many runs at once, so many calls of the model at once, each answered after `delay` s."""
    name = f"{calls} calls of {delay:g} s"
    with provider(delay) as base, tempfile.TemporaryDirectory() as folder:
        late = Path(folder) / "late.json"
        started = Server(
            folder,
            command=(sys.executable, "-m", "benchmarks.flight.watched_server", str(late)),
            models=json.dumps([{"model": MODEL, "api_base": base}]),
            model_calls=str(calls),
            in_flight=str(runs),
            model_timeout="120",
        )
        try:
            asyncio.run(_load(started, BEFORE))
            before = started.memory_mb()
            skipped = time.perf_counter() - started.began
            figures = asyncio.run(_load(started, runs))
        finally:
            started.end()
        # Later than the load began, as far as looks are told from their number.
        looks = json.loads(late.read_text())
    looks = looks[-int(len(looks) * figures["seconds"] / (skipped + figures["seconds"])) :]
    grown = (figures["memory"] - before) * 1000
    return {
        f"{name}: all settled, s": figures["seconds"],
        f"{name}: CPU-ms per run": figures["cpu"],
        f"{name}: most in flight": figures["in_flight"],
        f"{name}: memory per run in flight, kB": grown / figures["in_flight"],
        f"{name}: loop late p50, ms": statistics.median(looks),
        f"{name}: loop late p99, ms": statistics.quantiles(looks, n=100)[98],
        f"{name}: loop late at most, ms": max(looks),
    }


async def _load(server: Server, runs: int) -> dict[str, float]:
    """Post the runs, and wait until all are settled; how it was meanwhile."""
    _, before = await ask(server.url, "GET", "/runs?limit=1")
    done = before["counts"].get("completed", 0) + runs
    cpu, began = server.cpu_ms(), time.perf_counter()
    rest = iter(range(runs))

    async def post() -> None:
        for number in rest:
            body = {"prompt": f"note the {number}th thing that nobody else plans"}
            status, answer = await ask(server.url, "POST", "/runs", body)
            assert status == 201, answer

    posting = asyncio.gather(*(post() for _ in range(CLIENTS)))
    most = {"in_flight": 0.0, "memory": server.memory_mb()}
    while True:
        _, health = await ask(server.url, "GET", "/health")
        if (now := health["runs"]["in_flight"]) >= most["in_flight"]:
            most = {"in_flight": now, "memory": server.memory_mb()}
        if posting.done() and not now and not health["runs"]["queued"]:
            break
        await asyncio.sleep(0.2)
    await posting
    seconds = time.perf_counter() - began
    _, after = await ask(server.url, "GET", "/runs?limit=1")
    assert after["counts"]["completed"] == done, after["counts"]
    return {"seconds": seconds, "cpu": (server.cpu_ms() - cpu) / runs, **most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="runs at once")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delay", type=float, default=2.0, help="what the model takes, s")
    parser.add_argument("--calls", type=int, default=32, help="calls at once in the last part")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        many = options.runs
        at_once = measure(many, many, 0.0)
        later = measure(many, many, options.delay)
        few = measure(many, options.calls, options.delay)
        least = many / options.calls * options.delay
        settled = [next(iter(figures.values())) for figures in (at_once, later, few)]
        rounds.append(
            {
                **at_once,
                **later,
                **few,
                "ratio: later less the delay ÷ at once": (settled[1] - options.delay) / settled[0],
                f"ratio: {options.calls} calls ÷ {least:g} s": settled[2] / least,
            }
        )
    print_table(rounds)


if __name__ == "__main__":
    main()
