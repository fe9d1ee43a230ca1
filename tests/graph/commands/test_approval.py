"""A plan rests until a person has decided about it: nothing is done before, and all of it once."""

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast
from uuid import uuid4

import pytest

from graph.commands.approval import NotWaiting
from graph.compose import open_runs
from graph.record.record import Record
from graph.runs.context import RunNotFound
from graph.runs.upkeep import SHORTEST_SWEEP
from graph.service import Runs
from graph.settings import Settings
from graph.state.row import RunRow
from graph.storage.search import Search
from graph.storage.sqlite.index import SqliteIndex
from graph.storage.storage import Storage
from nodes.approval.questions import PlanUnfit
from tests.support.models.scripted_models import ScriptedModel, plan_of
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    AT_ONCE,
    Gates,
    SilentModel,
    assert_over,
    history,
    process,
    rested,
    row_status,
    told,
    types,
)
from tests.support.wording.messages import wording

PROMPT = "pass a, then pass b"
"""Two steps, both of them with effects."""

PLANNED = ["run.queued", "run.started", "plan.started", "plan.fallback", "plan.attempt"]
PLANNED += ["plan.made", "run.waiting"]
STEPS = ["step.started", "step.completed"]


async def waiting(runs: Runs, prompt: str = PROMPT) -> str:
    """The id of a run that rests with its plan."""
    run_id = (await runs.start(prompt, approve="always"))["run_id"]
    record = await runs.wait(run_id, timeout=patience(), owner=None)
    assert record["status"] == "waiting", record
    return run_id


async def settled(runs: Runs, run_id: str) -> Record:
    """The record of a run that may still be waiting, once it has settled."""
    async with asyncio.timeout(patience()):
        while (await runs.get(run_id, owner=None))["status"] == "waiting":  # noqa: ASYNC110 - that is no event
            await asyncio.sleep(0.002)
    return await rested(runs, run_id)


def plan(*labels: str, tool: str = "pass") -> dict[str, Any]:
    return {"steps": [{"tool": tool, "input": {"label": label}} for label in labels]}


def marks(record: Record) -> list[str]:
    return [mark["what"] for mark in record["marks"]]


async def test_a_run_to_be_approved_rests_with_its_plan_and_does_nothing(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        record = await runs.get(run_id, owner=None)
        await asyncio.sleep(0.05)

        assert await runs.get(run_id, owner=None) == record
        assert gates.calls == {}
        assert record["approval"] is not None
        assert record["approval"]["tools"] == [{"tool": "pass", "effects": True, "steps": [1, 2]}]
        assert record["current"] is None
        assert record["actions"] == ["cancel", "approve", "reject"]
        assert types(await told(runs, run_id)) == PLANNED
        assert await row_status(storage, run_id) == "waiting"


async def test_an_approved_plan_is_executed_once_and_its_events_go_on(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        approved = await runs.approve(run_id, by="ann", owner=None)
        record = await rested(runs, run_id)

        assert approved["status"] in ("running", "completed")
        assert (record["status"], gates.calls) == ("completed", {"a": 1, "b": 1})
        assert [(mark["what"], mark["by"]) for mark in record["marks"]] == [("approved", "ann")]
        assert record["plan_proposed"] is None
        assert types(await told(runs, run_id)) == [
            *PLANNED,
            "run.approved",
            *STEPS * 2,
            "run.completed",
            "end",
        ]


async def test_an_edited_plan_is_executed_instead_and_the_proposed_one_is_kept(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        proposed = (await runs.get(run_id, owner=None))["plan"]
        edited = {"steps": [{**proposed["steps"][1], "step": 1, "input": {"label": "c"}}]}
        await runs.approve(run_id, by="ann", plan=edited, owner=None)
        record = await rested(runs, run_id)
        seen = {event["type"]: event["data"] for event in await told(runs, run_id)}

        assert (record["status"], gates.calls) == ("completed", {"c": 1})
        assert record["plan"]["steps"] == edited["steps"]
        assert record["plan_proposed"] == {"steps": proposed["steps"]}
        assert seen["plan.made"]["steps"] == proposed["steps"]
        assert seen["run.approved"]["steps"] == edited["steps"]


@pytest.mark.parametrize(
    ("unfit", "place"),
    [
        (plan(), ""),
        (plan("a", tool="nothing"), "step 1: "),
        (plan("{step_2_output}"), "step 1: {step_2_output} "),
        ({"steps": [{"tool": "pass", "input": {}}]}, "step 1: label of pass: "),
        ({"steps": [{"tool": "pass", "step": 2, "input": {"label": "a"}}]}, "step 1 "),
        ({"steps": [{"tool": "pass", "label": "a"}]}, "steps.0.label: "),
        ({"steps": [{"tool": "pass", "input": {"label": "\ud800"}}]}, "step 1: "),
        ([], ""),
    ],
)
async def test_an_edited_plan_that_is_unfit_is_refused_and_the_run_waits_on(
    storage: Storage, unfit: object, place: str
):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        before = await runs.get(run_id, owner=None)

        with pytest.raises(PlanUnfit) as refused:
            await runs.approve(run_id, by="ann", plan=unfit, owner=None)

        (reason,) = refused.value.reasons
        assert reason.startswith(place)
        assert await runs.get(run_id, owner=None) == before
        await runs.approve(run_id, by="ann", owner=None)
        assert (await rested(runs, run_id))["status"] == "completed"


async def test_a_rejected_run_is_cancelled_with_nothing_done(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        record = await runs.reject(run_id, by="ann", reason="not today", owner=None)

        assert (record["status"], record["actions"], gates.calls) == ("cancelled", ["retry"], {})
        assert record["error"] is not None
        assert record["error"]["type"] == "rejected"
        assert record["error"]["message"] == wording("approval.rejected.reason", reason="not today")
        assert [(mark["what"], mark["detail"]) for mark in record["marks"]] == [
            ("rejected", "not today")
        ]
        assert types(await told(runs, run_id)) == [
            *PLANNED,
            "run.rejected",
            "run.cancelled",
            "end",
        ]
        assert await row_status(storage, run_id) == "cancelled"


async def test_only_a_waiting_run_can_be_decided_about_and_only_once(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs, "gate a")
        await runs.approve(run_id, by="ann", owner=None)
        for decide in (runs.approve, runs.reject):
            with pytest.raises(NotWaiting):
                await decide(run_id, by="bob", owner=None)
        await gates.end_next("a")
        record = await rested(runs, run_id)
        with pytest.raises(NotWaiting):
            await runs.approve(run_id, by="bob", plan="whatever", owner=None)

        assert marks(record) == ["approved"]
        with pytest.raises(RunNotFound):
            await runs.approve("00000000-0000-4000-8000-000000000000", by="ann", owner=None)


async def test_whoever_was_told_that_a_run_waits_can_decide_about_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    """Also one whose reading of a run that was left was overtaken by its planning."""
    begun, stored, release = asyncio.Event(), asyncio.Event(), asyncio.Event()
    answering: asyncio.Task[Record] | None = None
    read, put = storage.reader.aget_tuple, storage.saver.aput
    left = RunRow(
        run_id=str(uuid4()),
        owner="default",
        prompt=PROMPT,
        limits=AT_ONCE,
        created_at=time.time(),
        approve="always",
    )
    await storage.index.accept(left)

    async def decide() -> Record:
        assert (await runs.wait(left.run_id, timeout=patience(), owner=None))["status"] == "waiting"
        return await runs.approve(left.run_id, by="ann", owner=None)

    async def reads_late(*arguments: Any) -> Any:
        if asyncio.current_task() is answering:
            begun.set()
            await stored.wait()
        return await read(*arguments)

    async def returns_late(*arguments: Any) -> Any:
        status = arguments[1]["channel_values"].get("run", {}).get("status")
        if status == "pending":
            await begun.wait()
        written = await put(*arguments)
        if status == "waiting":
            stored.set()
            await release.wait()
        return written

    monkeypatch.setattr(storage.reader, "aget_tuple", reads_late)
    monkeypatch.setattr(storage.saver, "aput", returns_late)
    gates = Gates()
    async with process(storage, gates) as runs:
        answering = asyncio.create_task(decide())
        await stored.wait()
        await asyncio.sleep(0.05)
        release.set()
        await answering
        assert (await rested(runs, left.run_id))["status"] == "completed"
        assert gates.calls == {"a": 1, "b": 1}


@pytest.mark.parametrize("others", ["approve", "reject", "cancel"])
async def test_of_several_decisions_at_once_exactly_one_holds(storage: Storage, others: str):
    gates = Gates()
    async with process(storage, gates) as runs:
        ids = [await waiting(runs, f"pass r{number}") for number in range(8)]
        calls = [
            getattr(runs, name)(run_id, by=name, owner=None)
            for run_id in ids
            for name in ("approve", others, "approve")
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        records = [await rested(runs, run_id) for run_id in ids]

        for number, record in enumerate(records):
            three = outcomes[3 * number : 3 * number + 3]
            held = [outcome for outcome in three if not isinstance(outcome, Exception)]
            decided = [mark for mark in marks(record) if mark in ("approved", "rejected")]
            executed = gates.calls[f"r{number}"]
            assert executed == (record["status"] == "completed")
            await told(runs, ids[number])
            if others != "cancel":  # a cancellation may follow an approval
                assert (len(held), len(decided)) == (1, 1), three
                assert executed == (decided == ["approved"])


async def test_waiting_runs_hold_no_slot_and_have_no_place_in_the_queue(storage: Storage):
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        ids = [await waiting(runs, f"pass w{number}") for number in range(3)]
        other = (await runs.start("pass x"))["run_id"]

        assert (await rested(runs, other))["status"] == "completed"
        assert [(await runs.get(run_id, owner=None))["queue_position"] for run_id in ids] == [
            None
        ] * 3
        await asyncio.gather(*(runs.approve(run_id, by="ann", owner=None) for run_id in ids))
        assert [(await rested(runs, run_id))["status"] for run_id in ids] == ["completed"] * 3


async def test_an_approved_run_waits_for_a_slot_and_can_be_cancelled_meanwhile(storage: Storage):
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        first, second = await waiting(runs, "pass a"), await waiting(runs, "pass b")
        busy = (await runs.start("block x"))["run_id"]
        await until(lambda: gates.calls["x"])
        approved = await runs.approve(first, by="ann", owner=None)
        assert (await runs.approve(second, by="ann", owner=None))["status"] == "running"
        cancelled = await runs.cancel(second, by="bob", owner=None)

        assert approved["status"] == "running"
        assert gates.calls == {"x": 1}
        assert cancelled["execution_log"] == []
        assert marks(cancelled) == ["approved", "cancel"]
        gates.unblock.set()
        assert (await rested(runs, first))["status"] == "completed"
        assert (await rested(runs, busy))["status"] == "completed"
        await told(runs, second)


async def test_a_waiting_run_can_be_cancelled(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        record = await runs.cancel(run_id, by="ann", owner=None)

        await assert_over(runs, storage, record, gates)
        assert record["execution_log"] == []
        assert types(await told(runs, run_id)) == [
            *PLANNED,
            "run.cancelling",
            "run.cancelled",
            "end",
        ]


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_restart_leaves_a_waiting_run_untouched(storage: Storage, orderly: bool):
    gates = Gates()
    async with process(storage, gates, orderly=orderly) as runs:
        run_id = await waiting(runs)
        before, row = await runs.get(run_id, owner=None), await storage.index.find(run_id)
        stored = len(await history(runs, run_id))
    for _ in range(4):
        async with process(storage, gates, orderly=orderly) as runs:
            await asyncio.sleep(0.02)
            assert await runs.get(run_id, owner=None) == before
            assert await storage.index.find(run_id) == row
            assert len(await history(runs, run_id)) == stored
    async with process(storage, gates) as runs:
        await runs.approve(run_id, by="ann", owner=None)
        record = await rested(runs, run_id)

    assert marks(record) == ["approved"]
    assert gates.calls == {"a": 1, "b": 1}


async def test_a_run_whose_waiting_was_not_projected_is_found_to_wait(storage: Storage):
    """A process of an earlier version has died between the checkpoint and the index."""
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = (await runs.start(PROMPT, approve="always"))["run_id"]
        await until_async(storage, run_id, "waiting")
    await cast("Any", storage.saver)._writer.write(
        ("UPDATE runs SET status = 'running', expires_at = NULL", ())
    )
    assert await row_status(storage, run_id) != "waiting"
    async with process(storage, gates) as runs:
        record = await runs.wait(run_id, timeout=patience(), owner=None)
        assert (record["status"], record["marks"]) == ("waiting", [])
        await until_async(storage, run_id, "waiting")
        await runs.approve(run_id, by="ann", owner=None)
        assert (await rested(runs, run_id))["status"] == "completed"


async def until_async(storage: Storage, run_id: str, status: str) -> None:
    async with asyncio.timeout(patience()):
        while await row_status(storage, run_id) != status:  # noqa: ASYNC110 - it is a row
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("what", ["approved", "rejected"])
async def test_a_decision_that_was_only_stored_is_carried_out_at_the_next_start(
    storage: Storage, what: Any
):
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await waiting(runs)
    approval_answer: Any = {"what": what, "at": 1.0, "by": "ann", "reason": None, "plan": plan("c")}
    assert await storage.index.decide(run_id, approval_answer)
    async with process(storage, gates) as runs:
        record = await settled(runs, run_id)
        await told(runs, run_id)

    assert marks(record) == [what]
    assert gates.calls == ({"c": 1} if what == "approved" else {})


async def test_an_approval_that_the_tools_fit_no_longer_is_asked_for_again(storage: Storage):
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = await waiting(runs)
    lost: Any = plan("c", tool="lost")
    approval_answer: Any = {
        "what": "approved",
        "at": 1.0,
        "by": "ann",
        "reason": None,
        "plan": lost,
    }
    assert await storage.index.decide(run_id, approval_answer)
    async with process(storage, gates) as runs:
        async with asyncio.timeout(patience()):
            while (row := await storage.index.find(run_id)) is None or row.approval_answer:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert (await runs.wait(run_id, timeout=patience(), owner=None))["marks"] == []
        await runs.approve(run_id, by="ann", owner=None)
        assert (await settled(runs, run_id))["status"] == "completed"


@pytest.mark.parametrize("before_start", [True, False])
async def test_a_run_that_nobody_decides_on_expires(storage: Storage, before_start: bool):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        assert await storage.index.expired(2.0, 10) == []
        await storage.index.note_expiry(run_id, 1.0)
        assert await storage.index.expired(2.0, 10) == [run_id]
        if not before_start:
            sweeping = asyncio.create_task(runs.deadlines.sweep(0.01))
            record = await settled(runs, run_id)
            sweeping.cancel()
    if before_start:
        async with process(storage, gates) as runs:
            record = await settled(runs, run_id)

    assert (record["status"], marks(record), gates.calls) == ("cancelled", ["expired"], {})
    assert record["error"] is not None
    assert record["error"]["type"] == "cancelled"
    assert record["error"]["message"] == wording("approval.expired.days")


async def test_plans_that_expire_at_once_are_not_looked_for_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[float] = []
    expired = SqliteIndex.expired

    async def counted(self: SqliteIndex, now: float, limit: int) -> Sequence[str]:
        looked.append(now)
        return await expired(self, now, limit)

    monkeypatch.setattr(SqliteIndex, "expired", counted)
    async with open_runs(Settings(database_url="memory://", approval_expires=1e-6)):
        await until(lambda: len(looked) > 4)
    assert all(later - earlier > SHORTEST_SWEEP / 2 for earlier, later in pairwise(looked[1:]))


async def test_a_model_that_planned_is_not_asked_again_by_an_approval(storage: Storage):
    gates = Gates()
    model = ScriptedModel("one/model", [plan_of(("pass", {"label": "a"}))])
    async with process(storage, gates, model) as runs:
        run_id = await waiting(runs, "whatever")
        await runs.approve(run_id, by="ann", owner=None)
        record = await settled(runs, run_id)

    assert record["status"] == "completed"
    assert record["usage"]["calls"] == len(model.calls) == 1


@pytest.mark.parametrize(
    ("prompt", "waits"), [("pass a", True), ("look a", False), ("look a, then pass b", True)]
)
async def test_effects_asks_only_about_plans_that_change_something(
    storage: Storage, prompt: str, waits: bool
):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = (await runs.start(prompt, approve="effects"))["run_id"]
        await until(lambda: waits or gates.calls)
        record = await runs.wait(run_id, timeout=patience() if waits else 0.05, owner=None)

        assert record["status"] == ("waiting" if waits else "running")
        assert (record["approval"] is not None) == waits


async def test_a_plan_without_a_run_is_made_by_the_models_and_nothing_is_stored(storage: Storage):
    gates = Gates()
    model = SilentModel("one/model", [plan_of(("pass", {"label": "a"}), ("look", {"label": "b"}))])
    async with process(storage, gates, model) as runs:
        preview = await runs.preview("whatever")

        assert [step["tool"] for step in preview["steps"]] == ["pass", "look"]
        assert [(tool["tool"], tool["effects"]) for tool in preview["tools"]] == [
            ("pass", True),
            ("look", False),
        ]
        assert preview["usage"]["calls"] == 1
        assert (await runs.search("default", Search()))["runs"] == []
        assert gates.calls == {}


async def test_a_prompt_that_is_not_understood_has_a_draft_that_says_so(storage: Storage):
    async with process(storage, Gates()) as runs:
        preview = await runs.preview("hum a tune")

    assert preview["steps"] == []
    assert preview["error"] is not None
    assert preview["error"]["type"] == "not_understood"
