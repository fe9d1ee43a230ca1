"""What failed, below all else that a run of tests prints.

A log is often cut in its middle, and pytest names what failed above its durations and what was
skipped. A plugin of pytest: `-p tests.support.timing.failures`.
"""

import sys

import pytest

from tests.support.timing.areas import failures


class _Failed:
    def __init__(self) -> None:
        self._tests: dict[str, None] = {}  # in their order

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Of a file that cannot be loaded."""
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also of the tests of other processes."""
        self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed:
            self._tests[report.nodeid] = None

    def pytest_unconfigure(self) -> None:
        """Pytest has said all that it has to say."""
        for line in failures(self._tests):
            sys.stdout.write(f"{line}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that all reports come to prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Failed())
