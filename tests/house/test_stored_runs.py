"""What is told of runs that an earlier program has stored."""

from pathlib import Path

from tests.support.stored.comparison import compared, stored_sheets


def test_everything_that_is_told_of_stored_runs_is_as_it_was(tmp_path: Path) -> None:
    """Byte for byte; `tests/support/comparison.py` says how to see more of what differs."""
    assert compared(stored_sheets(tmp_path)) == ""
