"""Where the time of CI goes: its slowest tests, and its areas beside what each may take.

`python -m pytest -p tests.support.timing.areas --times FILE` appends what its tests take to a file,
a JSON object a line; `python -m tests.support.timing.areas FILE` tells what stands in it. Whatever
else takes time appends `{"area": NAME, "seconds": N}`. An area of tests is the first two folders
below `tests/`; what its tests take is the sum over the processes, some of which run at once.
"""

import argparse
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

#: Seconds by area, and in all.
BUDGETS = Path(__file__).parent / "budgets.toml"

SLOWEST = 40

#: In the order of pytest's own last line.
_CATEGORIES = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")


class Budgets(NamedTuple):
    """In seconds: by area, of an area that is not named, and in all."""

    areas: dict[str, float]
    other: float
    total: float


def read_budgets(path: Path = BUDGETS) -> Budgets:
    """What the areas may take."""
    found = tomllib.loads(path.read_text())
    return Budgets(found["areas"], found["other"], found["total"])


def area_of(test: str) -> str:
    """The area of a test's id: `graph/runs` for one below `tests/graph/runs/`."""
    folders = Path(test.partition("::")[0]).parts[1:-1]
    return "/".join(folders[:2]) or "tests"


class Times:
    """What was taken, and how it ended."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self.areas: Counter[str] = Counter()
        self.tests: Counter[str] = Counter()
        self.preparing: Counter[str] = Counter()  # what a test waited for before it began
        self.outcomes: Counter[str] = Counter()
        self.failed: dict[str, None] = {}  # in their order
        for line in lines:
            test, seconds = line.get("test"), line["seconds"]
            self.areas[line["area"] if test is None else area_of(test)] += seconds
            if test is not None:
                self.tests[test] += seconds
                self.outcomes[line["category"]] += 1
                if line["category"] in ("failed", "error"):
                    self.failed[test] = None
            if line.get("phase") == "setup":
                self.preparing[test] += seconds

    def told(self, budgets: Budgets, elapsed: float) -> Iterable[str]:
        """Line by line; the last one is as pytest's, over all, and what failed comes after it."""
        yield f"slowest {SLOWEST} tests: seconds, and those of them before it began"
        for test, seconds in self.tests.most_common(SLOWEST):
            yield f"{seconds:9.2f} {self.preparing[test]:9.2f}  {test}"
        yield "areas: seconds, and what they may take"
        for area, seconds in self.areas.most_common():
            yield _beside(area, seconds, budgets.areas.get(area, budgets.other))
        yield _beside("all, as the clock has it", elapsed, budgets.total)
        counts = ((self.outcomes[name], name) for name in _CATEGORIES)
        ended = [f"{n} {name}{'s' * (name == 'error' and n > 1)}" for n, name in counts if n]
        yield f"===== {', '.join(ended) or 'no tests ran'} in {elapsed:.2f}s ====="
        yield from failures(self.failed)


def failures(tests: Iterable[str]) -> Iterable[str]:
    """What failed, a line for each."""
    return (f"FAILED {test}" for test in tests)


def _beside(area: str, seconds: float, budget: float) -> str:
    return f"{seconds:9.0f} {budget:9.0f}  {area}{'  OVER' if seconds > budget else ''}"


class _Recorder:
    """Appends what each phase of a test takes, and what pytest counts it as."""

    def __init__(self, file: Path, category: Callable[[pytest.TestReport], str]) -> None:
        self._file, self._category = file, category

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also of the tests of other processes."""
        line = {
            "test": report.nodeid,
            "phase": report.when,
            "category": self._category(report),
            "seconds": report.duration,
        }
        with self._file.open("a") as times:
            times.write(json.dumps(line) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file."""
    parser.addoption("--times", type=Path, help="file that what each test takes is appended to")


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that all reports come to writes."""
    file = config.getoption("--times")
    if file is None or hasattr(config, "workerinput"):
        return

    def category(report: pytest.TestReport) -> str:
        named: str = config.hook.pytest_report_teststatus(report=report, config=config)[0]
        return named

    config.pluginmanager.register(_Recorder(file, category))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a file tells."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.timing.areas")
    parser.add_argument("file", type=Path)
    parser.add_argument("--elapsed", type=float, default=0.0, help="seconds that all of it took")
    options = parser.parse_args(arguments)
    times = Times(map(json.loads, options.file.read_text().splitlines()))
    for line in times.told(read_budgets(), options.elapsed):
        print(line)  # noqa: T201 - the command line's output


if __name__ == "__main__":
    main()
