"""`python -m benchmarks.live [part …]`: watchers, posts, a kill, neighbours, the door, memory."""

import argparse

from benchmarks.live import flood, guards, memory, neighbours, parsers, recovery, waiting, watchers
from benchmarks.table import print_table

PARTS = ("waiting", "watchers", "flood", "recovery", "neighbours", "guards", "parsers", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=200, help="runs of each measured load")
    parser.add_argument("--posts", type=int, default=5_000, help="posts at once")
    parser.add_argument("--many", type=int, default=20_000, help="runs between two looks at memory")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    measures = {
        "waiting": lambda: waiting.measure(options.runs),
        "watchers": watchers.measure,
        "flood": lambda: flood.measure(options.posts),
        "recovery": recovery.measure,
        "neighbours": neighbours.measure,
        "guards": guards.measure,
        "parsers": parsers.measure,
        "memory": lambda: memory.measure(options.many),
    }
    for part in options.parts:
        print_table([measures[part]() for _ in range(1 if part == "memory" else options.rounds)])


if __name__ == "__main__":
    main()
