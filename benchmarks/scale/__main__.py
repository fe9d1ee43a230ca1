"""`python -m benchmarks.scale [part …]`: what a fleet costs, and how far it goes.

`costs`: CPU of a run and runs a second, with 1, 2 and 4 workers, beside the bare engine and Aegra:
`--turns` of them, of `--runs` runs each, in which all take part.
`latency`: from acceptance to start, of a run every tenth of a second. `idle`: CPU without any run.
`watchers`: events a second to 1, 10 and 100 watchers of a run. `accepting`: jobs a second that
Postgres takes. Everything is on this machine, the clients too, so that runs a second are those of
its cores; CPU of a run is what counts elsewhere.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import Any

from benchmarks.live.connection import ask
from benchmarks.live.crowd import crowd
from benchmarks.scale.accepting import accepting
from benchmarks.scale.aegra import lacking
from benchmarks.scale.bare import bare
from benchmarks.scale.costs import WARM, Figures, costs
from benchmarks.scale.database import Database
from benchmarks.scale.load import load
from benchmarks.scale.ours import ours
from benchmarks.table import print_table

#: Seconds after the runs before anything is measured: what is loaded beside them is none of it.
WARMING = 2.0

#: Steps of the run that is watched.
STEPS = 100

PARTS = ("costs", "latency", "idle", "watchers", "accepting")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="of all other parts")
    parser.add_argument("--latency-runs", type=int, default=300)
    parser.add_argument("--turns", type=int, default=8, help="of costs")
    parser.add_argument("--runs", type=int, default=40, help="runs of a system in a turn of costs")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if why := lacking():
        print(f"Aegra is left out: {why}")
    with Database() as database:
        measures: Mapping[str, Callable[[], Figures]] = {
            "latency": partial(latency, database, options.latency_runs),
            "idle": partial(idle, database),
            "watchers": partial(watchers, database),
            "accepting": partial(accepting, database),
        }
        for part in options.parts:
            print(f"\n{part}", flush=True)
            if part == "costs":
                costs(database, options.runs, options.workers, options.turns)
            else:
                print_table([measures[part]() for _ in range(options.rounds)])


def latency(database: Database, runs: int) -> Figures:
    """Of two workers that have little to do."""
    figures: Figures = {}
    for name, start in (("ours", ours), ("bare engine", bare)):
        with start(database, 2) as system:
            load(system, warm := 2 * WARM)
            time.sleep(WARMING)
            load(system, runs, clients=4, every=0.1)
            waits = system.waits()[warm:]
        figures[f"{name}: from acceptance to start, p50 ms"] = statistics.median(waits)
        figures[f"{name}: the same, p99 ms"] = statistics.quantiles(waits, n=100)[98]
    return figures


def idle(database: Database, seconds: float = 20.0) -> Figures:
    """Percent of a core."""
    figures: Figures = {}
    with ExitStack() as stack:
        system = stack.enter_context(ours(database, 2))
        load(system, 2 * WARM)
        time.sleep(WARMING)
        each, of_postgres = [one.cpu_ms() for one in system.processes], database.cpu_ms()
        time.sleep(seconds)
        [server, *workers] = [
            (process.cpu_ms() - before) / seconds / 10
            for process, before in zip(system.processes, each, strict=True)
        ]
        figures["a server, % of a core"] = server
        figures["a worker, % of a core"] = statistics.mean(workers)
        figures["Postgres, % of a core"] = (database.cpu_ms() - of_postgres) / seconds / 10
    return figures


def watchers(database: Database, counts: tuple[int, ...] = (1, 10, 100)) -> Figures:
    """They watch one run at a server that does not execute it."""
    figures: Figures = {}
    prompt = ", then ".join(f"calculate {number} + 1" for number in range(STEPS))
    with ours(database, 1, prompt, owners=0) as system:
        load(system, 2)
        for count in counts:
            server = system.processes[0]
            before = server.cpu_ms()
            events, seconds = asyncio.run(_watched(system.url, prompt, count))
            cpu = server.cpu_ms() - before
            figures[f"{count} watchers: events/s to all of them"] = count * events / seconds
            figures[f"{count} watchers: CPU-ms of the server for 1,000 events"] = (
                cpu / count / events * 1000
            )
            figures[f"{count} watchers: the run, s"] = seconds
    return figures


async def _watched(url: str, prompt: str, count: int) -> tuple[int, float]:
    """How many events the run had, and how long it took from its acceptance to the last of them."""
    async with crowd(url, count) as watching:
        began = time.perf_counter()
        path = f"/runs/{(await _asked(url, 'POST', '/runs', {'prompt': prompt}))['run_id']}"
        watching.watch(path)
        seen = await watching.seen()
        seconds = time.perf_counter() - began
    told = await _asked(url, "GET", f"{path}/events")
    events = len(told["events"])
    assert seen == [events] * count, (seen, events)
    moments = [datetime.fromisoformat(told["events"][place]["time"]) for place in (0, -1)]
    assert moments[0] <= moments[1]
    return events, seconds


async def _asked(url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    status, told = await ask(url, method, path, body)
    assert 200 <= status < 300, told
    return dict(told)


if __name__ == "__main__":
    main()
