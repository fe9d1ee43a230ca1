"""`python -m benchmarks.runs [part …]`: what a run costs, beside LangGraph alone.

`costs`: CPU, latency and runs a second, waiting for runs and polling them, with one client and 16.
`reads`: GET of a settled run beside `/health/live`. `disk`: bytes of the file and of the log of
writes. `start`: time, CPU and memory of a start beside its imports. `memory`: whether it grows.
With `--against` the server of another checkout is measured in the same rounds.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.runs import costs, disk, reads, starting
from benchmarks.server import HERE
from benchmarks.table import print_table

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("costs", "reads", "disk", "start", "memory")
    parser.add_argument("parts", nargs="*", default=parts[:-1], help=f"of {', '.join(parts)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=100, help="runs of each measurement")
    parser.add_argument("--most", type=int, default=20_000, help="runs of the part memory")
    parser.add_argument("--against", type=Path, help="another checkout, measured as well")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    against = options.against and options.against.resolve()
    measures: dict[str, Callable[[Path], Figures]] = {
        "reads": reads.one_round,
        "disk": lambda checkout: disk.one_round(options.runs, checkout),
        "start": starting.one_round,
        "memory": lambda checkout: starting.memory(options.most, checkout),
    }
    for part in options.parts:
        print(f"\n{part}", flush=True)
        if part == "costs":
            rounds = [costs.one_round(options.runs, against) for _ in range(options.rounds)]
        else:
            times = 1 if part == "memory" else options.rounds
            rounds = [_both(measures[part], against) for _ in range(times)]
        print_table(rounds)


def _both(measure: Callable[[Path], Figures], against: Path | None) -> Figures:
    """The figures of this checkout, and of the other one."""
    ours = measure(HERE)
    if against is None:
        return ours
    return ours | {f"before: {name}": value for name, value in measure(against).items()}


if __name__ == "__main__":
    main()
