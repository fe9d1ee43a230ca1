"""The node `fallback_plan`: the patterns' plan, checked, or a refusal that says which words."""

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any, cast

from graph.state import DEFAULT_LIMITS, Conversation, Limits, RunState, Step, Unparsed, new_run
from nodes.contract.checks import RunTools
from nodes.fallback_plan import LONGEST_AT_ONCE, MOST_KEPT, LazyPlanner, fallback_plan
from nodes.patterns.accounts import Reading
from nodes.patterns.planner import PatternPlanner
from tests.support.patience import patience
from tests.support.wording.messages import wording
from tools.toolbox import Tool, snapshot, version


class Reader:
    """A planner that reads the same out of every prompt."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def plan(self, prompt: str, allowed: RunTools | None = None, **others: Any) -> Reading:
        return self._reading


def step(tool: str, **value: Any) -> Step:
    return Step(step=1, tool=tool, input=value, reasoning="asked for", span=[0, 3])


async def planned(reading: Reading, tools: Mapping[str, Tool], **limits: Any) -> dict[str, Any]:
    allowed = cast("Limits", {**DEFAULT_LIMITS, **limits})
    state = new_run("task", run_id="r", owner="o", limits=allowed, created_at=0.0)
    state["planning_log"] = cast("Any", [{"planner": "llm"}])
    planner = cast("LazyPlanner", Reader(reading))
    update = await fallback_plan(state, planner=planner, tools=tools)
    assert json.loads(json.dumps(update)) == update
    return update


async def test_a_good_reading_becomes_the_plan(tools: Mapping[str, Tool]) -> None:
    steps = [step("calculator", expression="2 + 2")]
    update = await planned(Reading(steps=steps), tools)

    assert update["plan"]["steps"] == steps
    assert [entry["then"] for entry in update["plan"]["rounds"]] == ["done"]
    assert "error" not in update


async def test_words_for_something_said_before_are_read_in_the_conversation_of_the_run(
    tools: Mapping[str, Tool],
) -> None:
    last = {"run_id": "before", "tool": "calculator", "output": 42}
    turn = {"run_id": "before", "prompt": "6 * 7", "status": "completed", "text": "42"}
    prompts = ("double it", "double it\n" + " " * LONGEST_AT_ONCE, "delete it")
    updates = []
    for prompt in prompts:
        state = new_run(prompt, run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
        state["conversation"] = cast("Any", {"turns": [turn], "left_out": 0, "last": last})
        updates.append(await fallback_plan(state, planner=LazyPlanner(tools), tools=tools))
        assert json.loads(json.dumps(updates[-1])) == updates[-1]

    for planned_at_once_or_beside in updates[:2]:
        [done] = planned_at_once_or_beside["plan"]["steps"]
        assert done["input"] == {"expression": "42 * 2"}
    error = updates[2]["error"]
    assert (error["type"], error["unparsed"]) == (
        "not_understood",
        [{"text": "it", "span": [7, 9]}],
    )
    assert wording("antecedent.value") in error["message"]


async def test_words_that_were_not_understood_refuse_the_whole(tools: Mapping[str, Tool]) -> None:
    """Also what was understood beside them is not done."""
    unparsed = [
        Unparsed(text="the capital of France", span=[0, 21]),
        Unparsed(text="hum", span=[30, 33]),
    ]
    reading = Reading(
        steps=[step("calculator", expression="1")], unparsed=unparsed, examples=["2 + 2"]
    )
    update = await planned(reading, tools)

    assert "plan" not in update
    assert update["error"] == {
        "type": "not_understood",
        "message": wording("runs.not-understood").replace("what's the", "the"),
        "step": None,
        "unparsed": unparsed,
        "examples": ["2 + 2"],
        "rejected_plan": None,
    }


async def test_a_plan_that_fails_the_check_is_kept_with_every_reason(
    tools: Mapping[str, Tool],
) -> None:
    steps = [step("calculator", expression="{step_1_output}"), {**step("fly"), "step": 2}]
    update = await planned(Reading(steps=cast("list[Step]", steps)), tools)

    assert "plan" not in update
    assert update["error"]["type"] == "plan_rejected"
    assert update["error"]["rejected_plan"] == {"steps": steps}
    first, second = update["error"]["message"].split("; step 2: ")
    assert first.startswith("step 1: {step_1_output} ")
    assert "'fly'" in second


async def test_the_limits_of_the_run_hold(tools: Mapping[str, Tool]) -> None:
    steps = [step("calculator", expression="1"), {**step("calculator", expression="2"), "step": 2}]
    update = await planned(Reading(steps=cast("list[Step]", steps)), tools, max_steps=1)

    assert update["error"]["message"] == wording("plans.steps", steps=2, most=1)


async def test_a_reading_of_nothing_is_no_plan(tools: Mapping[str, Tool]) -> None:
    update = await planned(Reading(steps=[]), tools)

    assert update["error"]["message"] == wording("plans.no-steps")


async def test_every_outcome_is_logged_after_what_was_tried_before(
    tools: Mapping[str, Tool],
) -> None:
    unparsed = [Unparsed(text="hum", span=[0, 3])]
    readings = {
        "planned": Reading(steps=[step("calculator", expression="1")]),
        "rejected": Reading(steps=[step("fly")]),
        "refused": Reading(steps=[], unparsed=unparsed),
    }
    for outcome, reading in readings.items():
        before, call = (await planned(reading, tools))["planning_log"]

        assert before == {"planner": "llm"}
        assert (call["planner"], call["outcome"]) == ("pattern", outcome)
        assert call["duration_ms"] >= 0
        assert call["input_tokens"] is call["usd"] is None


async def test_the_real_planner_plans_the_prompt_of_the_run(tools: Mapping[str, Tool]) -> None:
    state = new_run("what is 2 + 2", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    update = await fallback_plan(state, planner=LazyPlanner(tools), tools=tools)

    (only,) = cast("RunState", update)["plan"]["steps"]
    assert (only["tool"], only["input"]) == ("calculator", {"expression": "2 + 2"})


async def test_a_planner_of_fewer_tools_is_kept_for_the_next_run_with_them(
    tools: Mapping[str, Tool],
) -> None:
    """As many as are wanted again; callers can name tools in more ways than can be kept."""
    planner = LazyPlanner(tools)
    for _ in range(2):
        reading = await planner.plan("add todo milk", _only(calculator=tools["calculator"]))
        assert reading.unparsed
    kept = {**planner.loaded}
    for number in range(2 * MOST_KEPT):
        await planner.plan("add todo milk", _only(**{f"c{number}": tools["calculator"]}))
    assert len(kept) == 1
    assert len(planner.loaded) == MOST_KEPT


def _only(**tools: Tool) -> RunTools:
    return RunTools(tools, absent={})


class Held(PatternPlanner):
    """Reads nothing before it is told to go on, and notes in which order."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        super().__init__(tools)
        self.may_read = threading.Event()
        self.order: list[str] = []

    def read(self, prompt: str, conversation: Conversation | None = None) -> Reading:
        assert self.may_read.wait(patience())
        self.order.append(prompt.split()[-1])
        return super().read(prompt, conversation)


def held(tools: Mapping[str, Tool]) -> tuple[LazyPlanner, Held]:
    planner, holding = LazyPlanner(tools), Held(tools)
    planner.loaded[version(snapshot(tools))] = holding
    return planner, holding


async def test_a_long_prompt_does_not_hold_up_anybody(tools: Mapping[str, Tool]) -> None:
    planner, holding = held(tools)
    planning = asyncio.create_task(planner.plan(LONGEST_AT_ONCE * "add todo milk\n"))
    await asyncio.sleep(0)  # by now it is being read
    holding.may_read.set()
    assert len((await planning).steps) == LONGEST_AT_ONCE


async def test_the_many_long_prompts_of_one_owner_keep_that_of_another_waiting_for_one_of_them(
    tools: Mapping[str, Tool],
) -> None:
    planner, holding = held(tools)
    asked = [("many", "one"), ("many", "two"), ("many", "three"), ("other", "mine")]
    plannings = []
    for owner, word in asked:
        prompt = LONGEST_AT_ONCE * "add todo milk\n" + word
        plannings.append(asyncio.create_task(planner.plan(prompt, owner=owner)))
        await asyncio.sleep(0)
    holding.may_read.set()
    await asyncio.gather(*plannings)

    assert holding.order == ["one", "mine", "two", "three"]
