"""What a person approved is a plan: a retry or a fork executes another one only when asked about.

Each run here asks about every plan, unless a test says otherwise.
"""

import asyncio
from typing import Any, cast

import pytest

from graph.commands.approval import NotWaiting
from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.record.record import Record
from graph.service import Runs
from graph.state import Approve
from graph.storage.storage import Storage
from nodes.approval.questions import PlanUnfit
from tests.support.patience import patience, until
from tests.support.runs.live_runs import Gates, process, rested, row_status, told, types
from tests.support.wording.messages import wording
from tools.registry import ToolError

NEVER = ToolError("never", retryable=False)
STEPS = ["step.started", "step.completed"]


async def asked(runs: Runs, prompt: str, approve: Approve = "always") -> str:
    """The id of a run that waits with its plan."""
    run_id = (await runs.start(prompt, approve=approve))["run_id"]
    assert (await rest(runs, run_id))["status"] == "waiting"
    return run_id


async def rest(runs: Runs, run_id: str) -> Record:
    return await runs.wait(run_id, timeout=patience(), owner=None)


async def retried(runs: Runs, run_id: str, **request: Any) -> Record:
    """The record of a run as it rests after a retry."""
    record = await runs.retry(run_id, RetryRequest(**request), by="me", owner=None)
    assert record["error"] is None
    return await rest(runs, run_id)


async def approved(runs: Runs, run_id: str, **edited: Any) -> Record:
    await runs.approve(run_id, by="ann", owner=None, **edited)
    return await rested(runs, run_id)


async def failed(runs: Runs, gates: Gates, run_id: str, label: str) -> Record:
    """The record of a waiting run that is approved and then fails at the gate of this label."""
    await runs.approve(run_id, by="ann", owner=None)
    await until(lambda: label in gates.waiting)
    gates.end(label, NEVER)
    return await rested(runs, run_id)


async def point(runs: Runs, run_id: str, status: str) -> str:
    """The latest checkpoint of a run with this status."""
    page = await runs.history(run_id, owner=None, limit=100)
    return next(one["checkpoint_id"] for one in page["checkpoints"] if one["status"] == status)


def steps(*labels: str, tool: str = "pass") -> list[dict[str, Any]]:
    return [{"tool": tool, "input": {"label": label}, "reasoning": ""} for label in labels]


async def test_a_rejected_run_that_is_retried_waits_again_and_has_done_nothing(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a, then pass b")
        await runs.reject(run_id, by="ann", owner=None)
        before = await told(runs, run_id)
        record = await retried(runs, run_id)

        assert (record["status"], gates.calls, record["execution_log"]) == ("waiting", {}, [])
        assert record["actions"] == ["cancel", "approve", "reject"]
        assert record["approval"] is not None
        assert record["approval"]["tools"] == [{"tool": "pass", "effects": True, "steps": [1, 2]}]
        seen = await told(runs, run_id)
        assert seen[: len(before)] == before
        assert types(seen)[len(before) :] == ["run.retried", "run.started", "run.waiting"]
        assert await row_status(storage, run_id) == "waiting"

        await runs.reject(run_id, by="ann", owner=None)
        assert (await retried(runs, run_id))["status"] == "waiting"
        assert (await approved(runs, run_id))["status"] == "completed"
        seen = await told(runs, run_id)

    assert types(seen)[-6:] == [*STEPS * 2, "run.completed", "end"]
    assert types(seen).count("run.waiting") == 3
    assert gates.calls == {"a": 1, "b": 1}


@pytest.mark.parametrize("end", ["cancel", "expire"])
async def test_a_run_that_was_ended_while_it_waited_waits_again(storage: Storage, end: str):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a")
        if end == "cancel":
            await runs.cancel(run_id, by="ann", owner=None)
        else:
            assert await runs.deadlines.expire(run_id)
        record = await retried(runs, run_id)

        assert (record["status"], gates.calls) == ("waiting", {})
        await told(runs, run_id)


async def test_an_approved_run_that_failed_goes_on_without_being_asked_about(storage: Storage):
    """Also with steps left out: less than what was approved is done."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a, then gate b, then pass c")
        await failed(runs, gates, run_id, "b")
        record = await retried(runs, run_id, skip=(2,))
        await told(runs, run_id)

    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 1, "c": 1}


async def test_an_edited_input_is_asked_about_though_the_plan_was_approved(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a, then gate b")
        await failed(runs, gates, run_id, "b")
        record = await retried(runs, run_id, input={"label": "c"})
        assert (record["status"], record["plan"]["steps"][1]["input"]) == (
            "waiting",
            {"label": "c"},
        )
        with pytest.raises(PlanUnfit) as unfit:
            await runs.approve(run_id, by="ann", owner=None, plan={"steps": []})
        assert unfit.value.reasons == [wording("approval.plan.begun")]
        rejected = await runs.reject(run_id, by="ann", owner=None)
        assert rejected["error"] is not None
        assert rejected["error"]["message"] == wording("orders.rejected.later")
        assert (await retried(runs, run_id))["status"] == "waiting", "that is what was rejected"
        assert gates.calls == {"a": 1, "b": 1}
        await runs.approve(run_id, by="ann", owner=None)
        await gates.end_next("c")
        record = await rested(runs, run_id)
        await told(runs, run_id)

    assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1, "c": 1})


async def test_the_same_input_once_more_is_no_other_plan(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "gate a")
        await failed(runs, gates, run_id, "a")
        await runs.retry(run_id, RetryRequest(input={"label": "a"}), by="me", owner=None)
        await gates.end_next("a")

        assert (await rested(runs, run_id))["status"] == "completed"


async def test_a_plan_can_be_edited_at_each_of_several_approvals(storage: Storage):
    """What was told of the plans before stays as it was."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a, then gate b")
        first = {"steps": [{"tool": "gate", "input": {"label": "c"}}]}
        await runs.approve(run_id, by="ann", owner=None, plan=first)
        await until(lambda: "c" in gates.waiting)
        gates.end("c", NEVER)
        await rested(runs, run_id)
        assert (await retried(runs, run_id, input={"label": "d"}))["status"] == "waiting"
        second = {"steps": [{"tool": "pass", "input": {"label": label}} for label in "ef"]}
        record = await approved(runs, run_id, plan=second)
        seen = await told(runs, run_id)

    assert (record["status"], gates.calls) == ("completed", {"c": 1, "e": 1, "f": 1})
    assert record["plan_proposed"] is not None
    assert [step["tool"] for step in record["plan_proposed"]["steps"]] == ["pass", "gate"]
    tools = [event["data"]["tool"] for event in seen if event["type"] == "step.started"]
    assert tools == ["gate", "pass", "pass"]


async def test_a_first_planning_that_failed_is_not_told_to_have_waited(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = (await runs.start("hum a tune", approve="always"))["run_id"]
        await rested(runs, run_id)
        assert "run.waiting" not in types(await told(runs, run_id))


@pytest.mark.parametrize(
    ("status", "edits", "waits"),
    [
        ("waiting", Edits(), True),
        ("failed", Edits(), False),
        ("failed", Edits(steps=steps("a", "a")), True),
        ("failed", Edits(prompt="pass e"), True),
    ],
    ids=["not yet approved", "approved", "another plan", "another prompt"],
)
async def test_a_fork_goes_on_with_an_approved_plan_only(
    storage: Storage, status: str, edits: Edits, waits: bool
):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "pass a, then fail b")
        await runs.approve(run_id, by="ann", owner=None)
        await rested(runs, run_id)
        made = gates.calls.copy()
        checkpoint = await point(runs, run_id, status)
        fork = (await runs.fork(run_id, checkpoint, edits, owner=None))["run_id"]
        record = await rest(runs, fork)

        assert record["status"] == ("waiting" if waits else "failed")
        assert (gates.calls == made) == waits
        if waits:
            await runs.approve(fork, by="ann", owner=None)
            assert (await rested(runs, fork))["marks"][0]["what"] == "approved"
            again = await point(runs, fork, "waiting")
            second = (await runs.fork(fork, again, Edits(), owner=None))["run_id"]
            assert (await rest(runs, second))["status"] == "waiting"
            await told(runs, second)
        await told(runs, fork)


async def test_effects_asks_only_about_a_fork_that_now_changes_something(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = (await runs.start("look a", approve="effects"))["run_id"]
        await until(lambda: gates.calls)
        await runs.cancel(run_id, by="ann", owner=None)
        checkpoint = await point(runs, run_id, "cancelled")
        looks = Edits(steps=steps("b", tool="look"))
        harmless = (await runs.fork(run_id, checkpoint, looks, owner=None))["run_id"]
        acts = (await runs.fork(run_id, checkpoint, Edits(steps=steps("c")), owner=None))["run_id"]

        assert (await rest(runs, acts))["status"] == "waiting"
        await until(lambda: gates.calls["b"])
        await runs.cancel(harmless, by="ann", owner=None)
        assert gates.calls["c"] == 0


@pytest.mark.parametrize("moment", ["ordered", "waiting"])
async def test_killed_before_it_is_seen_to_wait_again_it_waits(storage: Storage, moment: str):
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await asked(runs, "pass a")
        await runs.reject(run_id, by="ann", owner=None)
        dead = asyncio.Event()
        put = storage.saver.aput

        async def dies(*arguments: Any) -> Any:
            stored = await put(*arguments)
            if arguments[1]["channel_values"]["run"]["status"] == moment or moment == "ordered":
                dead.set()
                await asyncio.Event().wait()
            return stored

        cast("Any", storage.saver).aput = dies
        task = asyncio.create_task(runs.retry(run_id, RetryRequest(), by="me", owner=None))
        await dead.wait()
        cast("Any", storage.saver).aput = put
        task.cancel()
        await asyncio.wait([task])
    async with process(storage, gates) as runs:
        assert (await rest(runs, run_id))["status"] == "waiting"
        assert gates.calls == {}
        assert (await approved(runs, run_id))["status"] == "completed"
        await told(runs, run_id)


async def test_a_retried_run_that_waits_can_be_decided_about_once(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await asked(runs, "gate a")
        await runs.reject(run_id, by="ann", owner=None)
        await retried(runs, run_id)
        outcomes = await asyncio.gather(
            *(runs.approve(run_id, by=f"{n}", owner=None) for n in range(4)),
            return_exceptions=True,
        )
        await gates.end_next("a")

        assert (await rested(runs, run_id))["status"] == "completed"
        assert sum(isinstance(outcome, NotWaiting) for outcome in outcomes) == 3
