"""Cancelling a run, wherever it stands, over each backend."""

import asyncio

import pytest

from graph.commands.retry import RetryRequest
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.storage.storage import Storage
from tests.support.models.scripted_models import outage
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    LONG,
    Gates,
    SilentModel,
    assert_over,
    attempts,
    in_backoff,
    process,
    rested,
    start,
    told,
    types,
)
from tests.support.wording.messages import wording

UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def test_a_run_that_has_only_just_been_accepted(storage: Storage) -> None:
    """Its execution has been arranged and has not begun; it must take no slot with it."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "pass a")
        record = await runs.cancel(run_id, by="me", owner="default")
        assert attempts(record) == []
        assert gates.calls == {}
        await assert_over(runs, storage, record, gates)
        other = await rested(runs, await start(runs, "pass b"))
    assert other["status"] == "completed"


async def test_a_queued_run(storage: Storage) -> None:
    """It leaves the queue without ever having begun; those behind it move up."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        await start(runs, "gate a")
        await until(lambda: gates.waiting)
        ids = [await start(runs, f"pass {label}") for label in "bcd"]
        record = await runs.cancel(ids[1], by="me", owner="default")
        assert record["queue_position"] is None
        assert record["started_at"] is None
        assert [
            (await runs.get(one, owner="default"))["queue_position"] for one in (ids[0], ids[2])
        ] == [1, 2]
        await assert_over(runs, storage, record, gates)
        seen = await told(runs, ids[1])
        gates.end("a")
        others = [await rested(runs, one) for one in (ids[0], ids[2])]
    assert types(seen) == ["run.queued", "run.cancelling", "run.cancelled", "end"]
    assert record["error"] is not None
    assert record["error"]["message"] == wording("runs.cancelled.unplanned")
    assert [other["status"] for other in others] == ["completed", "completed"]
    assert "c" not in gates.calls


async def test_a_run_in_its_backoff(storage: Storage) -> None:
    """Nothing is in flight: the failed attempt is all that there is, and the wait ends."""
    gates = Gates()
    async with process(storage, gates, slots=1, limits=LONG) as runs:
        run_id = await start(runs, "stumble a, then pass b")
        await until(lambda: gates.calls["a"])
        await rested(runs, await start(runs, "pass c"))  # the slot was given back meanwhile
        record = await runs.cancel(run_id, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
        await rested(runs, await start(runs, "pass d"))
        seen = await told(runs, run_id)
    assert attempts(record) == [(1, 1, "error")]
    assert types(seen)[-6:] == [
        "step.started",
        "step.failed",
        "step.started",
        "run.cancelling",
        "run.cancelled",
        "end",
    ]
    assert seen[-4]["data"]["not_before"] == record["execution_log"][0]["retry_at"]


async def test_a_step_that_was_left_out_is_not_told_as_done(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then fail b, then gate c")
        await rested(runs, run_id)
        await runs.retry(run_id, RetryRequest(skip=(2,)), by="me", owner=None)
        await until(lambda: gates.waiting)
        record = await runs.cancel(run_id, by="me", owner=None)
    told = "cancelled after 1 of 3 steps, 1 left out; step 3 (gate) was cut off"
    assert record["error"] is not None
    assert record["error"]["message"] == told


async def test_a_run_in_the_wait_for_a_model(storage: Storage) -> None:
    """As in any other backoff; no model is asked afterwards."""
    gates, model = Gates(), SilentModel("a/one", [outage(retry_after=30.0)])
    async with process(storage, gates, model, slots=1) as runs:
        run_id = await start(runs, "pass a")
        await until(lambda: model.calls)
        await until(lambda: in_backoff(runs, run_id))
        record = await runs.cancel(run_id, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
    assert len(model.calls) == 1
    assert [call["outcome"] for call in record["planning_log"]] == ["failed"]


async def test_a_run_inside_a_step(storage: Storage) -> None:
    """The attempt that is cut off is told, and that its tool may have acted."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "pass a, then gate b and then pass c")
        await until(lambda: gates.waiting)
        record = await runs.cancel(run_id, by="me", owner="default")
        assert gates.waiting == []
        await assert_over(runs, storage, record, gates)
        seen = await told(runs, run_id)
        await rested(runs, await start(runs, "pass d"))
    assert attempts(record) == [(1, 1, "ok"), (2, 1, "cancelled")]
    cut_off = record["execution_log"][1]
    assert (cut_off["tool"], cut_off["input"]) == ("gate", {"label": "b"})
    assert cut_off["may_have_acted"] is True
    assert cut_off["thread_running"] is False
    assert cut_off["error"]["message"] == wording("runs.cancelled.may-have-acted", tool="gate")
    assert record["error"] is not None
    assert record["error"]["message"] == wording("runs.cancelled.step", tool="gate")
    assert types(seen)[-5:] == [
        "step.started",
        "run.cancelling",
        "step.failed",
        "run.cancelled",
        "end",
    ]
    assert (seen[-3]["step"], seen[-3]["attempt"]) == (2, 1)
    assert "c" not in gates.calls


async def test_a_step_that_changes_nothing_cannot_have_acted(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "look a")
        await until(lambda: gates.calls["a"])
        record = await runs.cancel(run_id, by="me", owner="default")
    assert record["execution_log"][0]["may_have_acted"] is False
    assert record["execution_log"][0]["error"]["message"] == wording(
        "runs.cancelled.changes-nothing", tool="look"
    )


async def test_a_step_in_a_thread(storage: Storage) -> None:
    """The thread cannot be stopped; the record says that it goes on, and nothing waits for it."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "block a, then pass b")
        await until(lambda: gates.calls["a"])
        record = await runs.cancel(run_id, by="me", owner="default")
        await rested(runs, await start(runs, "pass c"))
        gates.unblock.set()
        await assert_over(runs, storage, record, gates)
    assert attempts(record) == [(1, 1, "cancelled")]
    assert record["execution_log"][0]["thread_running"] is True
    assert record["execution_log"][0]["may_have_acted"] is True


async def test_a_step_that_swallows_its_cancellation(storage: Storage) -> None:
    """It is left behind: the run is cancelled within seconds, and its slot is free."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await start(runs, "cling a, then pass b")
        await until(lambda: gates.calls["a"])
        record = await runs.cancel(run_id, by="me", owner="default")
        await rested(runs, await start(runs, "pass c"))
        gates.open.set()
        await assert_over(runs, storage, record, gates)
    assert attempts(record) == [(1, 1, "cancelled")]


async def test_a_run_whose_model_is_being_asked(storage: Storage) -> None:
    """There is no step to tell of; the call that was cut off is told, nothing is known of it."""
    gates = Gates()
    model = SilentModel("a/one", [outage(retry_after=0.0)])
    async with process(storage, gates, model, slots=1) as runs:
        run_id = await start(runs, "pass a")
        await until(lambda: model.is_silent)
        record = await runs.cancel(run_id, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
        seen = await told(runs, run_id)
    assert record["plan"]["steps"] == []
    assert attempts(record) == []
    assert types(seen) == [
        "run.queued",
        "run.started",
        "plan.started",
        "plan.attempt",
        "run.cancelling",
        "plan.attempt",
        "run.cancelled",
        "end",
    ]


@pytest.mark.parametrize("prompt", ["pass a", "fail a", "sing a song"])
async def test_a_run_that_has_ended_otherwise(storage: Storage, prompt: str) -> None:
    """It stays what it is."""
    async with process(storage, Gates()) as runs:
        record = await rested(runs, await start(runs, prompt))
        with pytest.raises(AlreadySettled) as settled:
            await runs.cancel(record["run_id"], by="me", owner="default")
        assert await runs.get(record["run_id"], owner="default") == record
        row = await storage.index.find(record["run_id"])
    assert settled.value.status == record["status"]
    assert row is not None
    assert row.cancel_at is None


@pytest.mark.parametrize("run_id", ["", "1", UNKNOWN])
async def test_an_unknown_run(storage: Storage, run_id: str) -> None:
    async with process(storage, Gates()) as runs:
        with pytest.raises(RunNotFound):
            await runs.cancel(run_id, by="me", owner="default")


async def test_the_slots_of_cancelled_runs_are_free(storage: Storage) -> None:
    """Executing, waiting for their next attempt or queued: afterwards all slots can be had."""
    gates = Gates()
    async with process(storage, gates, slots=3, limits=LONG) as runs:
        waiting = [await start(runs, f"stumble w{n}") for n in range(3)]
        await until(lambda: all(gates.calls[f"w{n}"] for n in range(3)))
        ids = [await start(runs, f"gate c{n}") for n in range(8)]
        await until(lambda: len(gates.waiting) == 3)
        records = await asyncio.gather(
            *(runs.cancel(one, by="me", owner="default") for one in [*ids, *waiting])
        )
        assert {record["status"] for record in records} == {"cancelled"}
        later = [await start(runs, f"gate d{n}") for n in range(4)]
        await until(lambda: len(gates.waiting) == 3)
        await asyncio.sleep(0.02)
        assert sorted(gates.waiting) == ["d0", "d1", "d2"]
        for number in range(4):
            await gates.end_next(f"d{number}")
        others = [await rested(runs, one) for one in later]
    assert {other["status"] for other in others} == {"completed"}


async def test_watchers_see_the_end_at_once(storage: Storage) -> None:
    """Of a run that is cancelled while it is queued as well."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        running, queued = [await start(runs, f"gate {label}") for label in "ab"]
        await until(lambda: gates.waiting)
        for run_id in (running, queued):
            waiting = asyncio.create_task(runs.wait(run_id, timeout=patience(), owner="default"))
            await asyncio.sleep(0.02)
            record = await runs.cancel(run_id, by="me", owner="default")
            assert await asyncio.wait_for(waiting, patience()) == record
