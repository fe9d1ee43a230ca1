"""The program does with stored and with fresh runs what it did when they were stored.

So does the notebook, in `tests/graph/workbench/test_notebook.py`, where it is executed anyhow.
"""

from pathlib import Path

import pytest

from tests.support.stored.comparison import PARTS, compared, snapshot

#: Those that take longest; what they show of runs is in part in the others.
SLOW = ("history", "studio")


@pytest.mark.timeout(300)  # each part starts servers and asks them much
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=pytest.mark.slow) if part in SLOW else part
        for part in PARTS
        if part != "notebook"
    ],
)
def test_everything_that_is_told_is_as_it_was(tmp_path: Path, part: str) -> None:
    """Byte for byte, but for what `tests/support/stored/varying.py` lists.

    What is meant to be another is written anew by
    `python -m tests.support.stored.comparison --part PART --write tests/support/stored/golden`.
    """
    if told := compared(snapshot(tmp_path, [part])):
        pytest.fail(told, pytrace=False)
