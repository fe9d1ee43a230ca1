"""The pattern planner against prompts: `python -m benchmarks.planner [--data DIR]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.planner import own_prompts, rows
from benchmarks.planner.measures import Measure, measure
from benchmarks.planner.plans import Verdict
from benchmarks.planner.timing import plan_times
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools


def main() -> None:
    """Print what our own prompts, or the corpora in a folder, are worth, and the time per plan."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of corpora, instead of our own prompts")
    parser.add_argument("--misses", action="store_true", help="also print what was not right")
    parser.add_argument("--all", action="store_true", help="rows of every scope, not only core")
    given = parser.parse_args()
    if given.data is None:
        prompts, faults = own_prompts.own_prompts(), own_prompts.faults()
        _print_verdicts("our own prompts", own_prompts.judged(prompts), misses=given.misses)
        _print_verdicts("silent faults", own_prompts.judged(faults), misses=given.misses)
        _print_times([prompt.text for prompt in prompts + faults])
        return
    planner = PatternPlanner(make_tools(BUILTIN))
    measures = measure(planner, given.data, core_only=not given.all)
    _print_table(measures)
    _print_times([row.text for row in rows.intents(given.data) + rows.several(given.data)])
    if given.misses:
        _print_misses(measures)


def _print_verdicts(heading: str, results: Sequence[own_prompts.Judged], *, misses: bool) -> None:
    print(heading, *own_prompts.table(results), sep="\n")
    wrong = sum(each.verdict == Verdict.WRONG for each in results)
    refused, most = own_prompts.share_refused(results), own_prompts.MOST_REFUSED
    print(f"silently wrong: {wrong} (bar: 0)")
    print(f"refused where a plan is right: {refused:.1%} (bar: {most:.0%} or less)\n")
    for each in results:
        if misses and each.verdict != Verdict.RIGHT:
            print(f"  {each.verdict}: {each}")


def _print_times(texts: Sequence[str]) -> None:
    p50, p95 = plan_times(PatternPlanner(make_tools(BUILTIN)), texts)
    print(f"\nplan time p50 {p50:.0f} µs (bar: 200 or less), p95 {p95:.0f} µs, {len(texts)} texts")


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
