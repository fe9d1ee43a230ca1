"""Runs in flight: who waits holds no slot, calls of a model have their turns, owners theirs."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from graph.service import Runs
from graph.state import Budget
from graph.storage.storage import Storage
from nodes.planning.model import Completion
from tests.support.clocks import Clocks
from tests.support.models.scripted_models import ScriptedModel, answer, outage, plan_of
from tests.support.patience import patience, until
from tests.support.runs.live_runs import LONG, Gates, in_backoff, process, rested, start

#: A budget that no call of a model fits into, so that the pattern planner plans.
BY_PATTERNS = Budget(usd=None, tokens=0, seconds=None, steps=None, on_exceeded="pattern")

PLAN = plan_of(("pass", {"label": "a"}))


@dataclass
class HeldModel(ScriptedModel):
    """Its calls take until they are let go; `most` is how many there were at once."""

    script: list[Any] = field(default_factory=list)
    held: list[asyncio.Future[Completion]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    most: int = 0

    async def complete(self, messages: Any, schema: Any, *, timeout: float) -> Completion:
        call: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.held.append(call)
        self.asked.append(messages[1]["content"].split("\n")[1])
        self.most = max(self.most, len(self.held))
        try:
            return await call
        finally:
            self.held.remove(call)

    def let_go(self, outcome: Completion | Exception = PLAN, *, first: int | None = None) -> None:
        """Let the calls end that there are now, or the first of them."""
        for call in self.held[:first]:
            if isinstance(outcome, Exception):
                call.set_exception(outcome)
            else:
                call.set_result(outcome)

    async def answer_all(self, runs: Runs, run_ids: list[str]) -> None:
        """Answer whatever is asked until these runs are over."""
        over = asyncio.gather(*(rested(runs, run_id) for run_id in run_ids))
        while not over.done():
            self.let_go()
            await asyncio.sleep(0.001)
        await over


def held() -> HeldModel:
    return HeldModel("some/model")


def slots(runs: Runs) -> tuple[int, int]:
    """How many calls of the model are under way, and how many wait for a slot."""
    model: Any = runs.health.models(None).get("some/model")
    return (model["calls"], model["queued"]) if model else (0, 0)


async def test_runs_that_wait_for_a_model_hold_no_slot(storage: Storage) -> None:
    """Thirty do with two slots, and another owner's run is done meanwhile."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, slots=2, in_flight=1000) as runs:
        many = [await start(runs, f"run {number}") for number in range(30)]
        await until(lambda: len(model.held) == 30)
        assert runs.health.runs(None)["executing"] == 0
        assert runs.health.runs(None)["in_flight"] == 30
        other = await runs.start("pass other", owner="other", budget=BY_PATTERNS)
        record = await runs.wait(other["run_id"], patience(), owner="other")
        assert (record["status"], len(model.held)) == ("completed", 30)
        await model.answer_all(runs, many)


async def test_a_tool_that_is_awaited_needs_no_slot_and_a_blocking_one_does(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1, in_flight=10) as runs:
        awaited = [await start(runs, f"gate {label}") for label in "abc"]
        await until(lambda: len(gates.waiting) == 3)
        blocking = await start(runs, "block d")
        await until(lambda: gates.calls["d"])
        assert runs.health.runs(None)["executing"] == 1
        gates.end("a")
        behind = await start(runs, "pass e")
        await asyncio.sleep(0.02)
        assert gates.calls["e"] == 0
        gates.unblock.set()
        for label in "bc":
            gates.end(label)
        for run_id in (*awaited, blocking, behind):
            assert (await rested(runs, run_id))["status"] == "completed"


async def test_no_more_calls_of_a_model_are_made_at_once_than_are_set(storage: Storage) -> None:
    gates, model = Gates(), held()
    async with process(storage, gates, model, in_flight=1000, model_calls=3) as runs:
        many = [await start(runs, f"run {number}") for number in range(20)]
        await until(lambda: slots(runs) == (3, 17))
        await model.answer_all(runs, many)
    assert model.most == 3
    assert len(model.asked) == 20


async def test_the_wait_for_a_turn_counts_for_no_limit(storage: Storage, clocks: Clocks) -> None:
    """Neither the run's own seconds nor those for its models go by; the record tells of it."""
    gates, model = Gates(), held()
    hasty = Budget(usd=None, tokens=None, seconds=30.0, steps=None, on_exceeded="fail")
    async with process(storage, gates, model, in_flight=10, model_calls=1) as runs:
        first = await start(runs, "run first")
        await until(lambda: model.held)
        second = (await runs.start("run second", budget=hasty))["run_id"]
        await until(lambda: slots(runs) == (1, 1))
        clocks.forward(1000)
        model.let_go()
        await until(lambda: len(model.asked) == 2 and model.held)
        await model.answer_all(runs, [first, second])
        record = await rested(runs, second)
        explained = await runs.explain(second, owner=None)
        [at_once] = (await rested(runs, first))["planning_log"]
    assert record["status"] == "completed", record["error"]
    [call] = record["planning_log"]
    assert call["queued_ms"] >= 1_000_000
    assert call["duration_ms"] < 1_000_000
    assert explained["time_ms"]["queue"] >= 1_000_000
    assert "queued_ms" not in at_once


async def test_owners_and_first_and_later_calls_have_their_turns_at_a_model(
    storage: Storage,
) -> None:
    """A repair comes among the first calls of its owner, and another owner's call between both."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, slots=4, in_flight=1000, model_calls=1) as runs:
        mended = await start(runs, "mended")
        await until(lambda: model.held)
        many = [await start(runs, f"many {number}") for number in range(50)]
        await until(lambda: slots(runs)[1] == 50)
        other = await runs.start("other", owner="other")
        await until(lambda: slots(runs)[1] == 51)
        model.let_go(answer("no plan at all"))
        await until(lambda: len(model.asked) == 2 and model.held)
        await until(lambda: slots(runs)[1] == 51)  # the repair, too
        for number in range(3, 7):
            model.let_go()
            await until(lambda due=number: len(model.asked) == due and model.held)  # type: ignore[misc]
        assert "other" in model.asked[1:4]
        assert "mended" in model.asked[1:5]
        await model.answer_all(runs, [mended, *many])
        await runs.wait(other["run_id"], patience(), owner="other")
        calls = (await runs.get(mended, owner=None))["planning_log"]
    assert [call["outcome"] for call in calls] == ["rejected", "planned"]


async def test_a_run_is_cancelled_while_it_waits_for_its_turn(storage: Storage) -> None:
    """Nothing was asked for it, and nobody loses a turn."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, in_flight=10, model_calls=1) as runs:
        first, second, third = [await start(runs, f"run {name}") for name in "abc"]
        await until(lambda: slots(runs) == (1, 2))
        record = await runs.cancel(second, by="me", owner=None)
        assert (record["status"], record["planning_log"]) == ("cancelled", [])
        await model.answer_all(runs, [first, third])
        assert slots(runs) == (0, 0)
    assert len(model.asked) == 2


async def test_a_run_is_cancelled_while_a_model_is_asked(storage: Storage) -> None:
    """It holds no slot, and its call is told as cut off."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, in_flight=10, model_calls=1) as runs:
        run_id = await start(runs, "run")
        await until(lambda: model.held)
        record = await runs.cancel(run_id, by="me", owner=None)
    assert [call["error_class"] for call in record["planning_log"]] == ["cancelled"]
    assert model.held == []


async def test_a_run_is_cancelled_while_an_awaited_tool_is_called(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, slots=1, in_flight=10) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        record = await runs.cancel(run_id, by="me", owner=None)
        assert [entry["status"] for entry in record["execution_log"]] == ["cancelled"]
        done = await rested(runs, await start(runs, "pass b"))
    assert done["status"] == "completed"


async def test_what_waits_at_the_end_of_a_process_is_done_by_the_next(storage: Storage) -> None:
    """A hundred runs: asked about, waiting for a turn, and not begun."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, in_flight=60, model_calls=5) as runs:
        ids = [await start(runs, f"run {number}") for number in range(100)]
        await until(lambda: slots(runs) == (5, 55))
        assert runs.health.runs(None)["queued"] == 40
    again = held()
    async with process(storage, Gates(), again, in_flight=60, model_calls=5) as runs:
        await again.answer_all(runs, ids)
        ends = [(await runs.get(run_id, owner=None))["status"] for run_id in ids]
    assert ends == ["completed"] * 100
    assert again.most <= 5


async def test_no_more_runs_are_begun_than_may_be_in_flight(storage: Storage) -> None:
    """Those behind tell their place, from the storage; another owner may begin one."""
    gates = Gates()
    async with process(storage, gates, slots=2, in_flight=3) as runs:
        mine = [await start(runs, f"gate {number}") for number in range(10)]
        await until(lambda: len(gates.waiting) == 3)
        last = await runs.get(mine[-1], owner="default")
        assert (last["status"], last["queue_position"]) == ("pending", 7)
        assert last["prompt"] == "gate 9"
        assert runs._context.live.of(mine[-1]).row is None
        theirs = [await start(runs, f"gate other{number}", "other") for number in range(2)]
        await until(lambda: "other0" in gates.waiting)
        await asyncio.sleep(0.02)
        assert len(gates.waiting) == 4
        await gates.end_next("other0")
        await until(lambda: "other1" in gates.waiting)
        gates.end("other1")
        for number in range(10):
            await gates.end_next(str(number))
        for run_id in mine + theirs:
            record = await runs.wait(run_id, patience(), owner=None)
            assert record["status"] == "completed"


async def test_owners_take_turns_at_the_slots(storage: Storage) -> None:
    """Also where the one's runs have all begun and the other's has not."""
    gates, model = Gates(), held()
    async with process(storage, gates, model, slots=1, in_flight=1000, model_calls=100) as runs:
        many = [await start(runs, f"run {number}") for number in range(50)]
        await until(lambda: len(model.held) == 50)
        model.let_go()
        other = await runs.start("pass other", owner="other", budget=BY_PATTERNS)
        await runs.wait(other["run_id"], patience(), owner="other")
        done = [(await runs.get(run_id, owner=None))["status"] for run_id in many]
        assert done.count("completed") < 50
        await model.answer_all(runs, many)


@pytest.mark.parametrize("wait", ["tool", "model"])
async def test_a_run_in_its_backoff_is_not_in_flight(storage: Storage, wait: str) -> None:
    """Another one begins and ends meanwhile, where only one may be in flight."""
    gates = Gates()
    script = [outage(retry_after=30.0), PLAN, PLAN]
    models = [ScriptedModel("some/model", script)] if wait == "model" else []
    async with process(storage, gates, *models, in_flight=1, limits=LONG) as runs:
        resting = await start(runs, "stumble b")
        await until(lambda: in_backoff(runs, resting))
        load = runs.health.runs(None)
        assert (load["in_flight"], load["executing"], load["backoff"]) == (0, 0, 1)
        done = await rested(runs, await start(runs, "pass a"))
        assert done["status"] == "completed"
        await runs.retry_now(resting, owner=None)
        assert (await rested(runs, resting))["status"] == "completed"
