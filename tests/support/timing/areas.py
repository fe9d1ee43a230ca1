"""Where the time of CI goes: its slowest tests, and its areas beside what each may take.

`python -m pytest -p tests.support.timing.areas --times FILE` appends what its tests take to a file,
a JSON object a line; `python -m tests.support.timing.areas FILE` tells what stands in it. Whatever
else takes time appends `{"area": NAME, "seconds": N}`. An area of tests is the first two folders
below `tests/`; what its tests take is the sum over the processes, some of which run at once. With
`--again` the tests have failed before, and what they end with now counts in place of that.
"""

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

#: Seconds by area, and in all.
BUDGETS = Path(__file__).parent / "budgets.toml"

SLOWEST = 40

#: The exit statuses of pytest after which all tests that were asked for have run.
_WHOLE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)

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
        self.failed: dict[str, Counter[str]] = {}  # how, in their order
        self.unsteady: list[str] = []  # what failed, and passed when it was run again
        self.interrupted = False
        for line in lines:
            if (status := line.get("exit_status")) is not None:
                self.interrupted |= status not in _WHOLE
                continue
            test, seconds = line.get("test"), line["seconds"]
            if line.get("again") and line["phase"] == "setup" and test in self.failed:
                self.outcomes.subtract(self.failed.pop(test))
                self.unsteady.append(test)
            self.areas[line["area"] if test is None else area_of(test)] += seconds
            if test is not None:
                self.tests[test] += seconds
                self.outcomes[line["category"]] += 1
                if line["category"] in ("failed", "error"):
                    self.failed.setdefault(test, Counter())[line["category"]] += 1
                    if test in self.unsteady:
                        self.unsteady.remove(test)
            if line.get("phase") == "setup":
                self.preparing[test] += seconds

    def told(self, budgets: Budgets, elapsed: float) -> Iterable[str]:
        """Line by line; the last one is as pytest's, over all."""
        yield f"slowest {SLOWEST} tests: seconds, and those of them before it began"
        for test, seconds in self.tests.most_common(SLOWEST):
            yield f"{seconds:9.2f} {self.preparing[test]:9.2f}  {test}"
        yield "areas: seconds, and what they may take"
        for area, seconds in self.areas.most_common():
            yield _beside(area, seconds, budgets.areas.get(area, budgets.other))
        yield _beside("all, as the clock has it", elapsed, budgets.total)
        counts = ((self.outcomes[name], name) for name in _CATEGORIES)
        ended = [f"{n} {name}{'s' * (name == 'error' and n > 1)}" for n, name in counts if n]
        yield from (
            f"UNSTEADY {test}: failed, and passed when it was run again" for test in self.unsteady
        )
        yield from failures(self.failed)
        yield f"===== {', '.join(ended) or 'no tests ran'} in {elapsed:.2f}s ====="


def failures(tests: Iterable[str]) -> Iterable[str]:
    """What failed, a line for each."""
    return (f"FAILED {test}" for test in tests)


def _beside(area: str, seconds: float, budget: float) -> str:
    return f"{seconds:9.0f} {budget:9.0f}  {area}{'  OVER' if seconds > budget else ''}"


class _Recorder:
    """Appends what each phase of a test takes, what pytest counts it as, and how all ended."""

    def __init__(
        self, file: Path, category: Callable[[pytest.TestReport], str], *, again: bool
    ) -> None:
        self._file, self._category, self._again = file, category, again

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also of the tests of other processes."""
        line = {
            "test": report.nodeid,
            "phase": report.when,
            "category": self._category(report),
            "seconds": report.duration,
            "again": self._again,
        }
        self._append(line)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Whether all of them ran."""
        self._append({"exit_status": exitstatus})

    def _append(self, line: dict[str, Any]) -> None:
        with self._file.open("a") as times:
            times.write(json.dumps(line) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file, and whether the tests are those that failed."""
    parser.addoption("--times", type=Path, help="file that what each test takes is appended to")
    parser.addoption("--again", action="store_true", help="they have failed before")


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that all reports come to writes."""
    file = config.getoption("--times")
    if file is None or hasattr(config, "workerinput"):
        return

    def category(report: pytest.TestReport) -> str:
        named: str = config.hook.pytest_report_teststatus(report=report, config=config)[0]
        return named

    config.pluginmanager.register(_Recorder(file, category, again=config.getoption("--again")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a file tells."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.timing.areas")
    parser.add_argument("file", type=Path)
    parser.add_argument("--elapsed", type=float, default=0.0, help="seconds that all of it took")
    parser.add_argument(
        "--may-be-unsteady",
        type=int,
        metavar="N",
        help="print nothing, and end with an error where more failed, or not all tests ran",
    )
    options = parser.parse_args(arguments)
    times = Times(map(json.loads, options.file.read_text().splitlines()))
    if options.may_be_unsteady is not None:
        sys.exit(times.interrupted or not 0 < len(times.failed) <= options.may_be_unsteady)
    for line in times.told(read_budgets(), options.elapsed):
        print(line)  # noqa: T201 - the command line's output


if __name__ == "__main__":
    main()
