"""CI tells where its time goes, and whether that is more than planned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.timing.areas import Budgets, Times, area_of, main, read_budgets

BUDGETS = Budgets({"graph/runs": 5.0, "lint": 10.0}, other=1.0, total=60.0)


def phase(test: str, name: str, seconds: float, category: str = "") -> dict[str, object]:
    return {"test": test, "phase": name, "seconds": seconds, "category": category}


@pytest.mark.parametrize(
    ("test", "area"),
    [
        ("tests/test_x.py::test_y", "tests"),
        ("tests/docs/test_readme.py::test_x", "docs"),
        ("tests/api/test_x.py::test_y[a/b]", "api"),
        ("tests/graph/runs/test_x.py::test_y", "graph/runs"),
        ("tests/nodes/patterns/english/test_x.py::test_y", "nodes/patterns"),
    ],
)
def test_an_area_is_the_first_two_folders(test: str, area: str) -> None:
    assert area_of(test) == area


def test_a_test_takes_the_sum_of_its_phases_and_an_area_that_of_its_tests() -> None:
    slow, quick = "tests/graph/runs/test_a.py::test_slow", "tests/api/test_b.py::test_quick"
    lines = [
        phase(slow, "setup", 4.0),
        phase(slow, "call", 2.0, "failed"),
        phase(slow, "teardown", 1.0, "error"),
        phase(quick, "call", 0.5, "passed"),
        {"area": "lint", "seconds": 9},
    ]
    told = list(Times(lines).told(BUDGETS, elapsed=70.0))
    assert told[1:3] == [f"     7.00      4.00  {slow}", f"     0.50      0.00  {quick}"]
    assert [line.split() for line in told[4:-2]] == [
        ["9", "10", "lint"],
        ["7", "5", "graph/runs", "OVER"],
        ["0", "1", "api"],
        ["70", "60", "all,", "as", "the", "clock", "has", "it", "OVER"],
    ]
    assert told[-2:] == [f"FAILED {slow}", "===== 1 failed, 1 passed, 1 error in 70.00s ====="]


def test_of_what_is_run_again_the_second_end_counts_and_what_passes_is_named_unsteady() -> None:
    one, two = "tests/test_a.py::test_one", "tests/test_a.py::test_two"
    lines = [
        *(phase(one, name, 1.0, ended) for name, ended in _FAILED_TWICE),
        phase(two, "call", 1.0, "failed"),
        {"exit_status": 1},
        *({**phase(one, name, 1.0, ended), "again": True} for name, ended in _PASSED),
        {**phase(two, "setup", 1.0), "again": True},
        {**phase(two, "call", 1.0, "failed"), "again": True},
        {"exit_status": 1},
    ]
    times = Times(lines)
    assert list(times.told(BUDGETS, elapsed=9.0))[-3:] == [
        f"UNSTEADY {one}: failed, and passed when it was run again",
        f"FAILED {two}",
        "===== 1 failed, 1 passed in 9.00s =====",
    ]


_FAILED_TWICE = (("setup", ""), ("call", "failed"), ("teardown", "error"))
_PASSED = (("setup", ""), ("call", "passed"), ("teardown", ""))


@pytest.mark.parametrize(
    ("failed", "status", "may"),
    [(0, 0, False), (1, 1, True), (5, 1, True), (6, 1, False), (1, 2, False), (1, 5, False)],
)
def test_nothing_is_run_again_where_much_failed_or_not_all_was_run(
    tmp_path: Path, failed: int, status: int, may: bool
) -> None:
    lines = [phase(f"tests/test_a.py::test_{n}", "call", 1.0, "failed") for n in range(failed)]
    times = tmp_path / "times.jsonl"
    times.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"exit_status": status}]))
    with pytest.raises(SystemExit) as ended:
        main([str(times), "--may-be-unsteady", "5"])
    assert (not ended.value.code) is may


def test_no_more_than_the_slowest_forty_are_named() -> None:
    lines = [phase(f"tests/test_a.py::test_{n}", "call", n, "passed") for n in range(100)]
    told = list(Times(lines).told(BUDGETS, elapsed=1.0))
    named = [line.split()[2] for line in told if "::" in line]
    assert named == [f"tests/test_a.py::test_{n}" for n in range(99, 59, -1)]
    assert told[-1] == "===== 100 passed in 1.00s ====="


def test_what_pytest_counts_is_counted_over_all_its_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(5))\n"
        "def test_passes(number): pass\n"
        "def test_skips(): pytest.skip('no')\n"
        "def test_fails(): assert False\n"
        "@pytest.mark.xfail\n"
        "def test_is_known_to_fail(): assert False\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_has_an_error(broken): pass\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take seconds to be loaded
    times = tmp_path / "times.jsonl"
    times.write_text(json.dumps({"area": "install", "seconds": 3}) + "\n")
    timing = ("-p", "tests.support.timing.areas", "-p", "tests.support.timing.failures")
    plugins = ("-p", "xdist.plugin", "-p", "no:cacheprovider", *timing)
    failed = [f"FAILED test_some.py::{name}" for name in ("test_fails", "test_has_an_error")]
    own = ("-c", "/dev/null", "--rootdir", str(tmp_path), "--times", str(times))
    for processes in ("0", "2"):
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *plugins, *own, "-n", processes, str(tmp_path)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=patience(100),
            check=False,
        )
        assert "1 failed, 5 passed, 1 skipped, 1 xfailed, 1 error in" in ran.stdout, ran.stderr
        assert sorted(ran.stdout.splitlines()[-2:]) == failed
    main([str(times), "--elapsed", "5"])
    told = capsys.readouterr().out.splitlines()
    last = "===== 2 failed, 10 passed, 2 skipped, 2 xfailed, 2 errors in 5.00s ====="
    assert told[-3:] == [*failed, last]
    assert any(line.split()[::2] == ["3", "install"] for line in told)


def test_every_budget_is_of_an_area_that_there_is() -> None:
    areas = {area_of(str(path.relative_to(ROOT))) for path in ROOT.glob("tests/**/test_*.py")}
    assert set(read_budgets().areas) <= areas | {"install", "lint"}
