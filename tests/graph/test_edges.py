"""The edges: where a run goes next, from its state alone."""

import inspect
from typing import Any, get_args, get_type_hints

import pytest

from graph import build
from graph.state import DEFAULT_LIMITS, Plan, RunState, Step, new_run, run_error

ERROR = run_error("step_failed", "it broke", step=1)


def run(steps: int, *, cursor: int = 0, failed: bool = False) -> RunState:
    state = new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    state["plan"] = Plan(
        steps=[
            Step(step=number, tool="t", input={}, reasoning="", span=None)
            for number in range(1, steps + 1)
        ]
    )
    state["cursor"] = cursor
    state["error"] = ERROR if failed else None
    return state


@pytest.mark.parametrize(
    ("state", "following"),
    [
        (run(2), "execute_step"),
        (run(0), "fallback_plan"),
        (run(0, failed=True), "finalize"),
        (run(2, failed=True), "finalize"),
    ],
    ids=["planned", "no plan", "refused", "planned and refused"],
)
async def test_a_plan_is_executed_a_missing_one_is_made_by_patterns(
    state: RunState, following: str
) -> None:
    assert build.AFTER_PLAN[await build.after_plan(state)] == following


@pytest.mark.parametrize(
    ("state", "following"), [(run(1), "execute_step"), (run(0, failed=True), "finalize")]
)
async def test_a_prompt_that_no_planner_understood_ends_the_run(
    state: RunState, following: str
) -> None:
    assert build.AFTER_FALLBACK_PLAN[await build.after_fallback_plan(state)] == following


@pytest.mark.parametrize(
    ("state", "following"),
    [
        (run(2, cursor=0), "execute_step"),
        (run(2, cursor=1), "execute_step"),
        (run(2, cursor=2), "finalize"),
        (run(2, cursor=1, failed=True), "finalize"),
    ],
    ids=["again", "next", "all done", "failed"],
)
async def test_steps_follow_one_another_until_done_or_failed(
    state: RunState, following: str
) -> None:
    assert build.AFTER_STEP[await build.after_step(state)] == following


@pytest.mark.parametrize("plan", ["x", {}, {"steps": "x"}, {"steps": []}])
async def test_a_plan_that_was_edited_into_none_is_for_execute_step_to_refuse(plan: Any) -> None:
    """A router that raised would make the edit an error of the server."""
    state: Any = {**run(2, cursor=1), "plan": plan}

    assert build.AFTER_STEP[await build.after_step(state)] == "execute_step"
    assert await build.after_plan(state) in build.AFTER_PLAN


@pytest.mark.parametrize("name", ["after_plan", "after_fallback_plan", "after_step"])
def test_an_edge_says_in_its_signature_what_it_may_decide(name: str) -> None:
    """Each label leads somewhere; LangGraph calls only a coroutine without a thread."""
    edge = getattr(build, name)
    labels = getattr(build, name.upper())

    assert inspect.iscoroutinefunction(edge)
    assert set(get_args(get_type_hints(edge)["return"])) == set(labels)
    assert set(labels.values()) <= {"execute_step", "plan", "fallback_plan", "finalize"}
