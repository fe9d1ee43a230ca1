"""A retry that was ordered just before the process ended is seen and obeyed in the next one."""

import pytest

from graph.state.row import RetryCommand
from graph.storage.storage import Storage
from tests.support.patience import until
from tests.support.runs.live_runs import Gates, process, rested, start, told, types

pytestmark = pytest.mark.usefixtures("kept_on")

ORDER = RetryCommand(from_step=2, input=None, skip=[2], generation=1, by="me", at=1.0)


async def test_it_is_pending_from_the_start_and_can_be_cancelled(storage: Storage) -> None:
    """Also while another run has the only slot: whoever ordered it is not told that it failed."""
    gates = Gates()
    async with process(storage, gates, slots=2, orderly=False) as runs:
        busy = await start(runs, "gate x")
        await until(lambda: "x" in gates.waiting)
        run_id, other = [await start(runs, "pass a, then fail b, then pass c") for _ in range(2)]
        for failed in (run_id, other):
            assert (await rested(runs, failed))["status"] == "failed"
        assert await storage.index.request_retry(run_id, ORDER)
        assert await storage.index.request_retry(other, ORDER)
    async with process(storage, gates, slots=1) as runs:
        await until(lambda: "x" in gates.waiting)
        pending = await runs.get(run_id, owner=None)
        cancelled = await runs.cancel(run_id, by="you", owner=None)
        gates.end("x")
        await rested(runs, busy)
        completed = await rested(runs, other)
        seen = types(await told(runs, other))
    assert pending["status"] == "pending"
    assert [mark["what"] for mark in pending["marks"]] == ["retry"]
    assert [mark["what"] for mark in cancelled["marks"]] == ["retry", "cancel"]
    assert completed["status"] == "completed"
    assert seen.count("run.retried") == 1
    assert gates.calls == {"x": 2, "a": 2, "b": 2, "c": 1}
