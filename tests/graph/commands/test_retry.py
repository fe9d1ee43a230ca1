"""Retrying a settled run: what is done again and what is not, and what may be asked."""

import asyncio
from typing import Any
from uuid import UUID, uuid5

import pytest

from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected, RetryRequest
from graph.runs.context import RunNotFound
from graph.service import Runs
from graph.storage.storage import Storage
from tests.support.models.scripted_models import ScriptedModel, outage, plan_of
from tests.support.patience import until
from tests.support.runs.live_runs import (
    LONG,
    Gates,
    attempts,
    history,
    in_backoff,
    process,
    rested,
    row_status,
    start,
    told,
    types,
)
from tests.support.wording.messages import wording
from tools.registry import ToolError

NEVER = ToolError("never", retryable=False)


async def retry(runs: Runs, run_id: str, **asked: Any) -> dict[str, Any]:
    """Retry a run and await its next end; its record."""
    record = await runs.retry(run_id, RetryRequest(**asked), by="me", owner=None)
    assert record["status"] == "pending"
    assert record["completed_at"] is None
    return dict(await rested(runs, run_id))


async def failed_at(runs: Runs, gates: Gates, prompt: str, label: str) -> str:
    """A run that failed for good at the gate of this label."""
    run_id = await start(runs, prompt)
    await until(lambda: label in gates.waiting)
    gates.end(label, NEVER)
    assert (await rested(runs, run_id))["status"] == "failed"
    return run_id


async def test_a_failed_run_goes_on_with_the_step_that_failed(storage: Storage) -> None:
    """What was finished is not done again, and the events go on where they were."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b, then pass c", "b")
        before = await told(runs, run_id)
        passing = asyncio.create_task(gates.end_next("b"))
        record = await retry(runs, run_id)
        await passing
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert record["result"]["summary"] == wording("runs.summary.characters")
    assert gates.calls == {"a": 1, "b": 2, "c": 1}
    assert attempts(record) == [(1, 1, "ok"), (2, 1, "error"), (2, 1, "ok"), (3, 1, "ok")]
    assert [entry["generation"] for entry in record["execution_log"]] == [0, 0, 1, 1]
    assert seen[: len(before)] == before
    assert types(seen)[len(before) - 2 :] == [
        "run.failed",
        "end",
        "run.retried",
        "run.started",
        "step.started",
        "step.completed",
        "step.started",
        "step.completed",
        "run.completed",
        "end",
    ]
    assert seen[len(before)]["data"] == {
        "by": "me",
        "detail": wording("orders.mark.from"),
        "from_step": 2,
        "input": None,
        "skip": [],
        "generation": 1,
    }
    assert await row_status(storage, run_id) == "completed"


async def test_the_mark_keeps_who_asked_for_what_and_the_end_that_it_undid(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b", "b")
        failed = await runs.get(run_id, owner=None)
        record = await retry(runs, run_id, skip=(2,))
    (mark,) = record["marks"]
    assert (mark["what"], mark["by"]) == ("retry", "me")
    assert mark["event"] == failed["last_event_id"] + 1
    assert mark["retry"]["skip"] == [2]
    assert mark["detail"]
    ended = mark["retry"]["ended"]
    assert ended["status"] == "failed"
    assert ended["error"] == failed["error"]
    assert ended["completed_at"] == failed["completed_at"]


async def test_a_cancelled_run_goes_on_with_the_step_that_was_cut_off(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then gate b")
        await until(lambda: gates.waiting)
        await runs.cancel(run_id, by="me", owner=None)
        passing = asyncio.create_task(gates.end_next("b"))
        record = await retry(runs, run_id)
        await passing
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert attempts(record) == [(1, 1, "ok"), (2, 1, "cancelled"), (2, 1, "ok")]
    assert [mark["what"] for mark in record["marks"]] == ["cancel", "retry"]
    assert types(seen).count("end") == 2


async def test_a_run_that_is_retried_can_be_cancelled_again_and_retried_again(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then gate b")
        for number in range(1, 4):
            await until(lambda: gates.waiting)
            cancelled = await runs.cancel(run_id, by="me", owner=None)
            assert cancelled["status"] == "cancelled"
            assert await runs.cancel(run_id, by="me", owner=None) == cancelled
            await runs.retry(run_id, RetryRequest(), by="me", owner=None)
            await until(lambda number=number: gates.calls["b"] == number + 1)
        gates.end("b", "done")
        record = await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert [entry["generation"] for entry in record["execution_log"]] == [0, 0, 1, 2, 3]
    assert types(seen).count("end") == 4
    assert types(seen).count("run.cancelling") == 3


async def test_from_an_earlier_step_everything_after_it_is_done_again(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then pass b, then gate c", "c")
        passing = asyncio.create_task(gates.end_next("c"))
        record = await retry(runs, run_id, from_step=2)
        await passing
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 2, "c": 2}
    assert types(seen).count("step.started") == 5


async def test_the_key_of_a_step_that_is_done_again_is_another_one(storage: Storage) -> None:
    """Its effect is wanted once more, so that no receipt may stand for it."""
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "pass a, then fail b")
        await rested(runs, run_id)
        record = await retry(runs, run_id, from_step=1)
    last = record["execution_log"][-1]
    assert (last["step"], last["generation"]) == (2, 1)
    assert uuid5(UUID(run_id), "1:2") != uuid5(UUID(run_id), "0:2")


async def test_a_step_can_be_given_another_input(storage: Storage) -> None:
    """The plan as it was made is kept beside the edited one, and told as it was."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b", "b")
        before = await told(runs, run_id)
        passing = asyncio.create_task(gates.end_next("other a"))
        record = await retry(runs, run_id, input={"label": "other {step_1_output}"})
        await passing
        state = (await history(runs, run_id))[-1]
        assert (await told(runs, run_id))[: len(before)] == before
    assert record["status"] == "completed"
    assert record["execution_log"][-1]["input"] == {"label": "other a"}
    assert state["plan"]["steps"][1]["input"] == {"label": "other {step_1_output}"}
    assert state["plan_proposed"] is not None
    assert state["plan_proposed"]["steps"][1]["input"] == {"label": "b"}


async def test_steps_can_be_left_out(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b, then pass c, then pass d", "b")
        record = await retry(runs, run_id, skip=(2, 3))
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert record["result"] == {
        "output": "d",
        "summary": wording("runs.summary.left-out"),
        "answer": None,
    }
    assert gates.calls == {"a": 1, "b": 1, "d": 1}
    assert [event["step"] for event in seen if event["type"] == "step.started"] == [1, 2, 4]


async def test_with_every_later_step_left_out_the_run_is_done(storage: Storage) -> None:
    """Its result is that of the last step which is not left out."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "pass a, then pass b, then gate c", "c")
        record = await retry(runs, run_id, from_step=2, skip=(2, 3))
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert record["result"]["output"] == "a"
    assert types(seen)[-4:] == ["run.retried", "run.started", "run.completed", "end"]


async def test_what_was_left_out_stays_left_out_until_it_is_asked_for(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "gate a, then pass b, then gate c", "a")
        passing = asyncio.create_task(gates.end_next("a"))
        await runs.retry(run_id, RetryRequest(skip=(2,)), by="me", owner=None)
        await passing
        await until(lambda: "c" in gates.waiting)
        gates.end("c", NEVER)
        await rested(runs, run_id)
        again = await retry(runs, run_id, skip=(3,))
        await told(runs, run_id)
    assert again["status"] == "completed"
    assert gates.calls == {"a": 2, "c": 1}


async def test_a_run_without_a_plan_is_planned_again(storage: Storage) -> None:
    """It is not understood once more, and says only what it said before."""
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "sing a song")
        first = await rested(runs, run_id)
        before = await told(runs, run_id)
        record = await retry(runs, run_id)
        seen = await told(runs, run_id)
    assert record["status"] == "failed"
    assert record["error"] == first["error"]
    assert len(record["planning_log"]) == 2
    assert types(seen)[len(before) :] == ["run.retried", *types(before)[1:]]


async def test_models_are_asked_again_with_all_their_time(storage: Storage) -> None:
    model = ScriptedModel(
        "a/one", [outage(), outage(), outage(), plan_of(("pass", {"label": "a"}))]
    )
    async with process(storage, Gates(), model) as runs:
        run_id = await start(runs, "please do the thing that only models know")
        assert (await rested(runs, run_id))["status"] == "failed"
        model.script[:] = [plan_of(("pass", {"label": "a"}))]
        record = await retry(runs, run_id)
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert record["planned_by"]["source"] == "llm"
    assert types(seen).count("plan.made") == 1
    assert types(seen).count("run.started") == 2


async def test_a_run_cancelled_in_the_queue_is_begun_by_a_retry(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        other = await start(runs, "gate a")
        run_id = await start(runs, "pass b")
        await runs.cancel(run_id, by="me", owner=None)
        record = await runs.retry(run_id, RetryRequest(), by="me", owner=None)
        assert (record["status"], record["queue_position"]) == ("pending", 1)
        assert await row_status(storage, run_id) == "pending"
        await gates.end_next("a")
        assert (await rested(runs, run_id))["status"] == "completed"
        await rested(runs, other)
        assert types(await told(runs, run_id))[:5] == [
            "run.queued",
            "run.cancelling",
            "run.cancelled",
            "end",
            "run.retried",
        ]


async def test_a_retried_run_that_is_cancelled_in_the_queue_was_never_begun_again(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "pass a, then fail b")
        await rested(runs, run_id)
        other = await start(runs, "gate c")
        await runs.retry(run_id, RetryRequest(), by="me", owner=None)
        record = await runs.cancel(run_id, by="me", owner=None)
        assert record["status"] == "cancelled"
        assert attempts(record) == [(1, 1, "ok"), (2, 1, "error")]
        assert types(await told(runs, run_id))[-4:] == [
            "run.retried",
            "run.cancelling",
            "run.cancelled",
            "end",
        ]
        await gates.end_next("c")
        await rested(runs, other)


async def test_only_a_failed_or_cancelled_run_can_be_retried(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        completed = await start(runs, "pass a")
        await rested(runs, completed)
        running, pending = await start(runs, "gate b"), await start(runs, "pass c")
        await until(lambda: gates.waiting)
        for run_id, status in (
            (completed, "completed"),
            (running, "running"),
            (pending, "pending"),
        ):
            before = await runs.get(run_id, owner=None)
            with pytest.raises(NotRetryable, match=status):
                await runs.retry(run_id, RetryRequest(), by="me", owner=None)
            assert await runs.get(run_id, owner=None) == before
        with pytest.raises(RunNotFound):
            await runs.retry("none", RetryRequest(), by="me", owner=None)
        gates.end("b")


async def test_of_several_who_ask_at_once_one_is_heard(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed_at(runs, gates, "gate a", "a")
        asked = await asyncio.gather(
            *(runs.retry(run_id, RetryRequest(), by=f"{n}", owner=None) for n in range(8)),
            return_exceptions=True,
        )
        await gates.end_next("a")
        record = await rested(runs, run_id)
    assert sum(isinstance(one, NotRetryable) for one in asked) == 7
    assert [mark["what"] for mark in record["marks"]] == ["retry"]
    assert gates.calls["a"] == 2


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"from_step": 3}, "from_step"),
        ({"from_step": 0}, "from_step"),
        ({"from_step": -1}, "from_step"),
        ({"input": {"label": []}}, "input"),
        ({"input": {"label": "{step_2_output}"}}, "input"),
        ({"input": {"label": "{oops"}}, "input"),
        ({"input": {"label": "a", "more": 1}}, "input"),
        ({"input": {"label": 2**64}}, "input"),
        ({"skip": (1,)}, "skip"),
        ({"skip": (4,)}, "skip"),
        ({"skip": (2,), "input": {"label": "x"}}, "skip"),
        ({"from_step": 1, "skip": (1, 2, 3)}, "skip"),
        ({"from_step": 1, "skip": (1,), "input": None}, "skip"),
    ],
)
async def test_a_retry_that_the_plan_does_not_allow_is_refused(
    storage: Storage, asked: dict[str, Any], field: str
) -> None:
    """It says what would be right, and nothing of the run has changed."""
    gates = Gates()
    model = ScriptedModel(
        "a/one",
        [
            plan_of(
                ("pass", {"label": "a"}),
                ("gate", {"label": "b"}),
                ("pass", {"label": "{step_1_output}"}),
            )
        ],
    )
    async with process(storage, gates, model) as runs:
        run_id = await failed_at(runs, gates, "do what the model says", "b")
        before = await runs.get(run_id, owner=None)
        with pytest.raises(RetryRejected) as rejected:
            await runs.retry(run_id, RetryRequest(**asked), by="me", owner=None)
        assert rejected.value.field == field
        assert len(rejected.value.reasons) == 1
        assert await runs.get(run_id, owner=None) == before
        assert await row_status(storage, run_id) == "failed"


@pytest.mark.parametrize("asked", [{"from_step": 1}, {"skip": ()}, {"input": {}}])
async def test_a_run_without_a_plan_has_no_steps_to_speak_of(
    storage: Storage, asked: dict[str, Any]
) -> None:
    async with process(storage, Gates()) as runs:
        run_id = await start(runs, "sing a song")
        await rested(runs, run_id)
        with pytest.raises(NotPlanned) as refused:
            await runs.retry(run_id, RetryRequest(**asked), by="me", owner=None)
        assert refused.value.field in asked


async def test_killed_between_the_order_and_the_mark_it_is_retried_by_the_next_process(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b", "b")
        state = (await history(runs, run_id))[-1]
        order = {"from_step": 2, "input": None, "skip": [], "generation": 1, "by": "me", "at": 1.0}
        assert await storage.index.request_retry(run_id, order)  # type: ignore[arg-type]
        assert not await storage.index.request_retry(run_id, order)  # type: ignore[arg-type]
        assert state["status"] == "failed"
    async with process(storage, gates) as runs:
        await gates.end_next("b")
        record = await rested(runs, run_id)
        await told(runs, run_id)
    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 2}
    assert [mark["what"] for mark in record["marks"]] == ["retry", "taken_up"]


async def test_killed_between_the_mark_and_the_first_attempt_it_goes_on(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1, orderly=False) as runs:
        run_id = await failed_at(runs, gates, "pass a, then gate b", "b")
        await start(runs, "gate c")
        await until(lambda: "c" in gates.waiting)
        await runs.retry(run_id, RetryRequest(), by="me", owner=None)
    async with process(storage, gates) as runs:
        await gates.end_next("c")
        await gates.end_next("b")
        record = await rested(runs, run_id)
        seen = await told(runs, run_id)
    assert record["status"] == "completed"
    assert gates.calls == {"a": 1, "b": 2, "c": 2}
    assert [mark["what"] for mark in record["marks"]] == ["retry", "taken_up"]
    assert types(seen)[-7:] == [
        "run.retried",
        "run.taken_up",
        "run.started",
        "step.started",
        "step.completed",
        "run.completed",
        "end",
    ]


async def test_killed_in_the_first_attempt_it_is_made_again_with_the_same_key(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await failed_at(runs, gates, "gate a", "a")
        await runs.retry(run_id, RetryRequest(), by="me", owner=None)
        await until(lambda: gates.waiting)
    async with process(storage, gates) as runs:
        await gates.end_next("a")
        record = await rested(runs, run_id)
        await told(runs, run_id)
    assert [entry["generation"] for entry in record["execution_log"]] == [0, 1]
    assert gates.calls == {"a": 3}


async def test_a_backoff_can_be_ended(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, limits=LONG) as runs:
        run_id = await start(runs, "stumble a")
        await until(lambda: (state := runs._context.live.state(run_id)) and state["not_before"])
        await until(lambda: in_backoff(runs, run_id))
        record = await runs.retry_now(run_id, owner=None)
        assert record["current"] == {"step": 1, "attempt": 2, "not_before": None}
        record = await rested(runs, run_id)
        await told(runs, run_id)
    assert record["status"] == "completed"
    assert attempts(record) == [(1, 1, "error"), (1, 2, "ok")]


async def test_an_attempt_whose_wait_was_ended_is_told_when_it_is_cut_off(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, limits=LONG) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        gates.end("a", ToolError("not now", retryable=True))
        await until(lambda: in_backoff(runs, run_id))
        await runs.retry_now(run_id, owner=None)
        await until(lambda: gates.waiting)
        record = await runs.cancel(run_id, by="me", owner=None)
        await told(runs, run_id)
    assert attempts(record) == [(1, 1, "error"), (1, 2, "cancelled")]


async def test_only_a_backoff_can_be_ended(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        done = await start(runs, "pass a")
        await rested(runs, done)
        running, pending = await start(runs, "gate b"), await start(runs, "pass c")
        await until(lambda: gates.waiting)
        for run_id in (done, running, pending):
            with pytest.raises(NoBackoff):
                await runs.retry_now(run_id, owner=None)
        with pytest.raises(RunNotFound):
            await runs.retry_now("none", owner=None)
        gates.end("b")
