"""CPU of a run with 1, 2 and 4 workers, beside the bare engine and Aegra: all are there at once.

How quick a machine is changes from minute to minute by more than what is looked for. So all systems
are started first, each on a database of its own, and take turns of few runs each, in an order that
is drawn anew every time: what is compared has been measured some seconds apart, and each ratio is
of one such turn. There are two loads, and a turn for each of them.
"""

import random
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.scale.aegra import aegra, lacking
from benchmarks.scale.bare import bare
from benchmarks.scale.database import Counted, Database
from benchmarks.scale.load import load
from benchmarks.scale.ours import ours
from benchmarks.scale.process import Start, System

Figures = dict[str, float]

#: Runs of each worker before anything is measured: what is loaded at the first ones is none of it.
WARM = 20

#: So long nothing is done before transactions are counted, in seconds: a connection tells of its
#: own once a second while it has some, and of the last ones after ten.
QUIET = 12.0

#: What is done after the last run has ended still, in seconds, as the ends of jobs.
TAIL = 0.2

#: Clients that post as fast as they are answered; and runs a second, however they are answered.
CLIENTS, RATE = 16, 15

CPU = "CPU-ms of servers and workers"


@dataclass(frozen=True)
class Entrant:
    """A system with so many workers; `rated` says whether it keeps up with `RATE`."""

    name: str
    workers: int
    system: System
    rated: bool

    def __str__(self) -> str:
        return f"{self.name}, {self.workers}"


def costs(database: Database, runs: int, workers: Sequence[int], turns: int) -> None:
    """Print what runs cost; so many of each system in each of the turns."""
    with ExitStack() as stack:
        entrants = [*_started(database, workers, stack)]
        for entrant in entrants:
            load(entrant.system, WARM * entrant.workers)
        time.sleep(QUIET)
        before = _counted(entrants)
        time.sleep(QUIET)
        counted = _counted(entrants)
        idle = {
            entrant: Counted(*((now - then) / QUIET for now, then in zip(*pair, strict=True)))
            for entrant, pair in zip(entrants, zip(counted, before, strict=True), strict=True)
        }
        print("\nidle, a second")
        for entrant in entrants:
            print(f"  {entrant}: {idle[entrant].transactions:.1f} transactions")
        for title, rated, posting in (
            (f"{CLIENTS} clients, as fast as they are answered", False, {"clients": CLIENTS}),
            (f"{RATE} runs a second", True, {"clients": CLIENTS, "every": 1 / RATE}),
        ):
            taking = [entrant for entrant in entrants if entrant.rated or not rated]
            began, counted = time.monotonic(), _counted(taking)
            found = [_turn(database, taking, partial(load, **posting), runs) for _ in range(turns)]
            time.sleep(QUIET)
            seconds = time.monotonic() - began
            print(f"\n{title}: medians and quartiles of {turns} turns of {runs} runs")
            _print(taking, found, workers)
            print("\n  beyond what the idle system does, all turns together")
            for entrant, then, now in zip(taking, counted, _counted(taking), strict=True):
                lazy = [rate * seconds for rate in idle[entrant]]
                transactions, statements, size = (
                    (value - start - rest) / runs / turns
                    for value, start, rest in zip(now, then, lazy, strict=True)
                )
                print(
                    f"    {entrant!s:26} {transactions:6.1f} transactions,"
                    f" {statements:6.1f} statements, {size / 1000:6.1f} kB in the database"
                )


def _started(database: Database, workers: Sequence[int], stack: ExitStack) -> Sequence[Entrant]:
    systems: list[tuple[str, Start, Sequence[int], bool]] = [
        ("ours", partial(ours, database), workers, True),
        ("bare engine", partial(bare, database), workers, True),
        ("bare engine, our graph", partial(bare, database, kind="frozen"), workers[:1], False),
    ]
    if lacking() is None:
        systems.append(("Aegra", partial(aegra, database), workers[:2], False))
    return [
        Entrant(name, count, stack.enter_context(start(count)), rated)
        for name, start, counts, rated in systems
        for count in counts
    ]


def _counted(entrants: Sequence[Entrant]) -> list[Counted]:
    return [entrant.system.observer.counted() for entrant in entrants]


def _turn(
    database: Database, entrants: Sequence[Entrant], posting: partial[object], runs: int
) -> dict[Entrant, Figures]:
    """What each of them took, in an order that is drawn."""
    found = {}
    for entrant in random.sample(entrants, len(entrants)):
        found[entrant] = _of_a_run(entrant.system, posting, runs)
        figures = ", ".join(f"{name} {value:.2f}" for name, value in found[entrant].items())
        print(f"  {entrant}: {figures}", flush=True)
    return found


def _of_a_run(system: System, posting: partial[object], runs: int) -> Figures:
    observer, processes = system.observer, system.processes
    log, of_postgres = observer.wal(), observer.cpu_ms()
    each = [process.cpu_ms() for process in processes]
    began = time.perf_counter()
    posting(system, runs)
    seconds = time.perf_counter() - began
    time.sleep(TAIL)
    [server, *others] = [
        (process.cpu_ms() - before) / runs for process, before in zip(processes, each, strict=True)
    ]
    in_postgres = sum(
        now - of_postgres.get(process, 0.0) for process, now in observer.cpu_ms().items()
    )
    return {
        CPU: server + sum(others),
        "CPU-ms of the first of them": server,
        "CPU-ms of Postgres": in_postgres / runs,
        "WAL, kB": (observer.wal() - log) / runs / 1000,
        "runs/s": runs / seconds,
    }


def _print(
    entrants: Sequence[Entrant], turns: Sequence[dict[Entrant, Figures]], workers: Sequence[int]
) -> None:
    for figure in turns[0][entrants[0]]:
        print(f"\n  {figure}")
        for entrant in entrants:
            _print_spread(str(entrant), [turn[entrant][figure] for turn in turns])
    named = {str(entrant): entrant for entrant in entrants}
    print(f"\n  ratios of {CPU}")
    ratios = [(f"ours, {count}", f"ours, {workers[0]}") for count in workers[1:]]
    ratios += [(f"bare engine, {count}", f"bare engine, {workers[0]}") for count in workers[1:]]
    ratios += [(f"ours, {count}", f"bare engine, {count}") for count in workers]
    for over, under in ratios:
        pair = named[over], named[under]
        _print_spread(f"{over} ÷ {under}", [_ratio(turn, pair, CPU) for turn in turns])
    beside = [(f"ours, {count}", f"Aegra, {count}") for count in workers]
    for over, under in beside:
        if under in named:
            pair = named[over], named[under]
            ratio = [_ratio(turn, pair, "runs/s") for turn in turns]
            _print_spread(f"{over} ÷ {under}: runs/s", ratio)


def _ratio(turn: dict[Entrant, Figures], pair: tuple[Entrant, Entrant], figure: str) -> float:
    over, under = pair
    return turn[over][figure] / turn[under][figure]


def _print_spread(name: str, values: Sequence[float]) -> None:
    """The median, between the quartiles."""
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    print(f"    {name:34} {median:8.2f}   ({first:.2f} to {third:.2f})")
