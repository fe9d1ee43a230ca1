"""`python -m benchmarks.keeping [part …]`: size on disk, an explanation, forks."""

import argparse

from benchmarks.keeping import explaining, forking, size
from benchmarks.table import print_table

PARTS = ("size", "explaining", "forking")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--runs", type=int, default=500, help="runs of a generation")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    measures = {
        "size": lambda: size.measure(options.runs),
        "explaining": explaining.measure,
        "forking": forking.measure,
    }
    for part in options.parts:
        print_table([measures[part]() for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
