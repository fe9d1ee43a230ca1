"""The pattern planner against real requests: `python -m benchmarks.planner [--data DIR]`."""

import argparse
from pathlib import Path

from benchmarks.planner import rows
from benchmarks.planner.measures import Measure, measure
from benchmarks.planner.timing import plan_times
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools


def main() -> None:
    """Print each measure beside its bar, the time per plan, and on request every miss."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--data", type=Path, default=rows.DEVELOPMENT, help="folder of the split")
    parser.add_argument("--misses", action="store_true", help="also print what was not right")
    parser.add_argument("--all", action="store_true", help="rows of every scope, not only core")
    given = parser.parse_args()
    planner = PatternPlanner(make_tools(BUILTIN))
    measures = measure(planner, given.data, core_only=not given.all)
    _print_table(measures)
    texts = [request.text for request in rows.intents(given.data) + rows.several(given.data)]
    p50, p95 = plan_times(planner, texts)
    print(f"\nplan time p50 {p50:.0f} µs (bar: 200 or less), p95 {p95:.0f} µs, {len(texts)} texts")
    if given.misses:
        _print_misses(measures)


def _print_table(measures: list[Measure]) -> None:
    print(f"{'measure':<58}{'rows':>6}{'score':>9}  bar")
    for each in measures:
        mark = "ok" if each.met else "MISSED"
        print(f"{each.name:<58}{each.total:>6}{each.score:>8.1%}  {each.bar_text:<8} {mark}")


def _print_misses(measures: list[Measure]) -> None:
    for each in measures:
        if each.misses:
            print(f"\n{each.name}")
        for miss in each.misses:
            print(f"  {miss}")


if __name__ == "__main__":
    main()
