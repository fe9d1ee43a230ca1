"""What the tools do where a real client can hardly be made to leave: while a task is accepted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from api.mcp.calls import Call, Caller, report_of
from api.mcp.tools import TOOLS, Deeds, GivenUp
from graph.runs.cancellation import AlreadySettled
from graph.service import Runs
from graph.storage.search import Search
from graph.storage.storage import Storage, StorageUnavailable
from tests.support.patience import until
from tests.support.runs.fake_runs import accepted
from tests.support.runs.live_runs import Gates, process, rested
from tests.support.wording.messages import wording


class SlowRuns:
    """Runs whose acceptance takes until it is let through; `cancelled` are the ids of those."""

    def __init__(self) -> None:
        self.ready = True
        self.through = asyncio.Event()
        self.asked = asyncio.Event()
        self.cancelled: list[tuple[str, str, str]] = []
        self.failure: Exception | None = None

    async def start(self, prompt: str, **_: Any) -> Any:
        """Accept a task."""
        self.asked.set()
        await self.through.wait()
        return accepted(prompt, run_id="slow")

    async def cancel(self, run_id: str, *, by: str, owner: str) -> None:
        """Cancel a run."""
        self.cancelled.append((run_id, by, owner))
        if self.failure:
            raise self.failure


def calling(runs: SlowRuns, call: Call) -> tuple[Deeds, "asyncio.Task[Any]"]:
    deeds = Deeds(cast("Runs", runs))
    caller = Caller(owner="alice", by="alice", call=call)
    return deeds, asyncio.create_task(TOOLS["run"].call(deeds, caller, {"prompt": "x"}))


@pytest.mark.parametrize("failure", [None, AlreadySettled("slow", "completed"), OSError("away")])
async def test_a_run_that_is_being_accepted_when_its_caller_leaves_is_cancelled_then(
    failure: Exception | None,
) -> None:
    runs = SlowRuns()
    runs.failure = failure
    deeds, call = calling(runs, Call())
    await runs.asked.wait()
    call.cancel()
    await asyncio.wait([call])
    assert runs.cancelled == []
    runs.through.set()
    await until(lambda: runs.cancelled)
    await deeds.close()

    assert runs.cancelled == [("slow", "alice", "alice")]


async def test_who_says_so_gives_a_call_up_on_any_connection() -> None:
    runs, call = SlowRuns(), Call(attached=False)
    deeds, calls = calling(runs, call)
    await runs.asked.wait()
    call.given_up.set()
    with pytest.raises(GivenUp):
        await calls
    runs.through.set()
    await until(lambda: runs.cancelled)
    await deeds.close()


@pytest.mark.parametrize(("attached", "ready"), [(False, True), (True, False)])
async def test_a_lost_connection_or_our_own_end_cancels_nothing(
    attached: bool, ready: bool
) -> None:
    runs = SlowRuns()
    runs.ready = ready
    deeds, call = calling(runs, Call(attached=attached))
    await runs.asked.wait()
    call.cancel()
    await asyncio.wait([call])
    runs.through.set()
    await deeds.close()

    assert runs.cancelled == []


async def test_a_run_whose_end_cannot_be_read_is_told_as_accepted() -> None:
    """Not as a failure: whoever read that would do the task again."""

    class Unreadable(SlowRuns):
        @asynccontextmanager
        async def watching(self, run_id: str, **_: Any) -> AsyncIterator[Any]:
            raise StorageUnavailable
            yield

    runs = Unreadable()
    runs.through.set()
    _, call = calling(runs, Call())

    assert (await call)["status"] == "pending"


def test_a_run_with_a_step_in_doubt_says_who_can_resolve_it() -> None:
    steps = [
        {"step": 1, "tool": "a", "input": {}},
        {"step": 2, "tool": "pay", "input": {"to": "x"}},
    ]
    record = accepted(
        run_id="doubtful",
        status="waiting",
        plan={"steps": steps, "rounds": []},
        in_doubt={"step": 2, "expires_at": 5.0},
    )
    report = report_of(record, base_url="http://here:1/")

    assert report["waits_for"] == {"about": "step", "steps": [steps[1]], "expires_at": 5.0}
    assert report["message"] == wording("mcp.run.waits-in-doubt", run_id="doubtful")
    assert report["url"] == "http://here:1/runs/doubtful"


async def test_what_happens_while_a_report_is_sent_is_reported_too(storage: Storage) -> None:
    gates, reported = Gates(), list[float]()
    async with process(storage, gates) as runs:
        deeds = Deeds(runs)

        async def report(done: float, of: float | None, words: str | None) -> None:
            reported.append(done)
            if not done:  # the plan
                await until(lambda: gates.waiting)
                gates.end("it")
                [run] = (await runs.search("default", Search()))["runs"]
                await rested(runs, run["run_id"])

        caller = Caller(owner="default", by="me", report=report)
        answer = await TOOLS["run"].call(deeds, caller, {"prompt": "gate it"})

    assert (answer["status"], reported) == ("completed", [0, 1])
