"""Figures of several rounds, as a table."""

import statistics
from collections.abc import Sequence


def print_table(rounds: Sequence[dict[str, float]]) -> None:
    """One line a figure: its median, lowest and highest over the rounds."""
    width = max(len(name) for name in rounds[0]) + 2
    print(f"{'':{width}} {'median':>9} {'lowest':>9} {'highest':>9}")
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        row = (statistics.median(values), min(values), max(values))
        print(f"{name:{width}} " + " ".join(f"{value:9.2f}" for value in row))
