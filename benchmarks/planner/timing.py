"""How long one plan takes."""

import time
from collections.abc import Sequence
from statistics import quantiles

from nodes.patterns.planner import PatternPlanner

ROUNDS = 5


def plan_times(planner: PatternPlanner, texts: Sequence[str]) -> tuple[float, float]:
    """Median and 95th percentile in µs; of several rounds the fastest time of each text counts."""
    best = [float("inf")] * len(texts)
    for _ in range(ROUNDS):
        for at, text in enumerate(texts):
            begin = time.perf_counter_ns()
            planner.read(text)
            best[at] = min(best[at], (time.perf_counter_ns() - begin) / 1000)
    cuts = quantiles(best, n=100, method="inclusive")
    return cuts[49], cuts[94]
