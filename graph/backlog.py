"""The backlog: what an earlier process has left, settled or queued again before anything new."""

from graph.driver import Driver
from graph.engine import Engine
from graph.reader import thread
from graph.take_up import reopen_left


async def queue_backlog(engine: Engine, driver: Driver) -> None:
    """Settle the runs whose cancellation was asked for, and queue those that are to go on.

    A run that waits for a person is left to wait. Raises what the storage raises.
    """
    left = await engine.storage.index.unsettled()
    for row in left:
        if row.cancel_at is not None:
            await driver.cancel_left(row.run_id)
    due = [
        row for row in left if row.cancel_at is None and (row.status != "waiting" or row.decision)
    ]
    for row in due:
        await reopen_left(engine.graph, row, thread(row.run_id))
    driver.expect(due)
    # First those that were started before and got no further.
    for row in sorted(due, key=lambda row: row.checkpoint_id is None):
        engine.executor.enqueue(row.run_id, row.owner)
