"""Which runs of a database one more kill could end for good.

A run that several starts in a row brought no further is given up, as it may be what ends the
process. Where a test kills servers at random, a slow machine makes every run look like that.
"""

from pathlib import Path

from tests.support.databases.postgres import rows_of
from tests.support.patience import wait_until

_STUCK = """
    SELECT run_id FROM runs
    WHERE status NOT IN ('completed', 'failed', 'cancelled') AND starts > 1 AND checkpoint_id =
        (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = run_id AND checkpoint_ns = '')
"""


def await_unstuck(folder: Path) -> None:
    """Wait until the server has brought each run further that was started more than once."""
    wait_until(
        lambda: not rows_of(folder, _STUCK),
        otherwise=lambda: f"stuck: {rows_of(folder, _STUCK)}",
    )


def starts(folder: Path) -> list[tuple[str, int]]:
    """How often each run was taken up."""
    return rows_of(folder, "SELECT run_id, taken_up FROM runs ORDER BY run_id")
