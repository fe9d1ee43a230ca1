"""The types of the four packages, checked beside the other tests: it takes one core a minute."""

import subprocess
import sys

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience


@pytest.mark.timeout(patience(900))
def test_mypy_finds_nothing() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, f"\n{checked.stdout}{checked.stderr}"
