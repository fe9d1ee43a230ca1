"""CPU, latency and throughput of a run, beside LangGraph alone, in the same minutes.

Every round has a fresh process of each, since one process differs from the next for as long as it
lives. All are open at once and measured in random order.
"""

import random
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.runs.load import How, Measured, measured
from benchmarks.runs.reference import GRAPHS, LOOPS, Reference, reference

#: Runs before anything is measured: what is loaded at the first one is none of it.
WARM = 10

CLIENTS = (1, 16)
HOWS: tuple[How, ...] = ("waiting", "polling")


def one_round(runs: int, against: Path | None) -> dict[str, float]:
    """All figures of one round; `ours` is measured twice, in two processes, which shows the noise.

    `against` is the checkout that `before` is measured of.
    """
    total = WARM + 2 * runs * len(CLIENTS)
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        references = {
            f"{graph} {loop}": stack.enter_context(reference(graph, loop))
            for graph in GRAPHS
            for loop in LOOPS
        }
        servers = {name: stack.enter_context(measured(total)) for name in ("ours", "ours again")}
        if against is not None:
            servers["before"] = stack.enter_context(measured(total, checkout=against))
        for started in servers.values():
            started.load(WARM, 1, "waiting")
        for clients in CLIENTS:
            _measure(figures, references, servers, runs, clients)
    return dict(sorted(figures.items())) | _ratios(figures)


def _measure(
    figures: dict[str, float],
    references: dict[str, Reference],
    servers: dict[str, Measured],
    runs: int,
    clients: int,
) -> None:
    def of_reference(name: str, one: Reference) -> None:
        figures[f"{clients}: {name}, CPU-ms"] = one.cpu_ms(runs, clients)

    def of_server(name: str, one: Measured, how: How) -> None:
        load = one.load(runs, clients, how)
        named = f"{clients} {how}: {name}"
        figures[f"{named}, CPU-ms"] = load.cpu_ms / runs
        figures[f"{named}, p50 ms"] = statistics.median(load.latencies)
        figures[f"{named}, runs/s"] = runs / load.seconds

    todo: list[Callable[[], None]] = [
        *(partial(of_reference, *one) for one in references.items()),
        *(partial(of_server, *one, how) for one in servers.items() for how in HOWS),
    ]
    random.shuffle(todo)
    for measure in todo:
        measure()


def _ratios(figures: dict[str, float]) -> dict[str, float]:
    """Of figures of one round, so that the machine's speed drops out."""
    ratios: dict[str, float] = {}
    for clients in CLIENTS:
        for how in HOWS:
            named = f"{clients} {how}"
            ours = figures[f"{named}: ours, CPU-ms"]
            for graph in GRAPHS:
                for loop in LOOPS:
                    alone = figures[f"{clients}: {graph} {loop}, CPU-ms"]
                    ratios[f"{named}: ours ÷ {graph} {loop}"] = ours / alone
            for name in ("before", "ours again"):
                for unit in ("CPU-ms", "p50 ms", "runs/s"):
                    if (other := figures.get(f"{named}: {name}, {unit}")) is not None:
                        mine = figures[f"{named}: ours, {unit}"]
                        ratios[f"{named}: ours ÷ {name}, {unit}"] = mine / other
    return ratios
