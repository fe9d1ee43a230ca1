"""`python -m benchmarks.lg [part …]`: CPU of a run at `/lg`, and runs a second beside others."""

import argparse

from benchmarks.lg import beside, costs
from benchmarks.table import print_table

PARTS = ("costs", "beside")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=200, help="runs of each measured load")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    measures = {"costs": costs.measure, "beside": beside.measure}
    for part in options.parts:
        print_table([measures[part](options.runs) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
