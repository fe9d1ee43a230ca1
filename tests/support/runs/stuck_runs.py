"""Which runs of a database one more kill could end for good.

A run that several starts in a row brought no further is given up, as it may be what ends the
process. Where a test kills servers at random, a slow machine makes every run look like that.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.patience import wait_until

_STUCK = """
    SELECT run_id FROM runs
    WHERE status NOT IN ('completed', 'failed', 'cancelled') AND starts > 1 AND checkpoint_id =
        (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = run_id AND checkpoint_ns = '')
"""


def await_unstuck(folder: Path) -> None:
    """Wait until the server has brought each run further that was started more than once."""
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        wait_until(
            lambda: not database.execute(_STUCK).fetchall(),
            otherwise=lambda: f"stuck: {database.execute(_STUCK).fetchall()}",
        )


def starts(folder: Path) -> list[tuple[str, int]]:
    """How often each run was taken up."""
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        return database.execute("SELECT run_id, taken_up FROM runs ORDER BY run_id").fetchall()
