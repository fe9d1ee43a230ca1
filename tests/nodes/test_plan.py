"""The node `plan`: it begins a run, also a second one on a used thread, and refuses no-prompts."""

import time
from typing import Any, cast
from uuid import UUID

import pytest
from langgraph.types import Overwrite

from graph.state import DEFAULT_LIMITS, Limits, RunState, new_run, run_error
from nodes.plan import plan, prompt_error
from tests.support.wording.messages import wording

LIMITS = Limits(**{**DEFAULT_LIMITS, "max_prompt": 10})


def accepted(prompt: Any = "a task", **fields: Any) -> RunState:
    state = new_run(prompt, run_id="r", owner="me", limits=LIMITS, created_at=1.0)
    return cast("RunState", {**state, "log": [], **fields})


async def test_an_accepted_run_is_begun_and_keeps_what_it_was_accepted_with() -> None:
    before = time.time()
    update = await plan(accepted(), limits=DEFAULT_LIMITS)

    assert set(update) == {"status", "started_at", "planned_by", "planning"}
    assert update["status"] == "running"
    assert before <= update["started_at"] <= time.time()


async def test_without_a_model_the_pattern_planner_is_asked_and_the_reason_is_told() -> None:
    update = await plan(accepted(), limits=DEFAULT_LIMITS)

    assert update["planned_by"] == {
        "source": "pattern",
        "model": None,
        "reason": wording("runs.planned-by.no-model"),
        "complexity": None,
    }


async def test_a_prompt_on_a_new_thread_is_a_whole_run() -> None:
    """Studio and notebooks give a prompt and nothing else."""
    update = await plan(cast("RunState", {"prompt": "a task"}), limits=LIMITS)

    assert set(update) == set(RunState.__annotations__) - {
        "approve",
        "approval",
        "asked",
        "choice",
        "conversation",
        "kept",
        "metadata",
        "posted_by",
        "thread_id",
        "traceparent",
    }
    assert UUID(update["run_id"])
    assert (update["owner"], update["prompt"], update["limits"]) == ("default", "a task", LIMITS)


@pytest.mark.parametrize("status", ["running", "waiting", "completed", "failed", "cancelled"])
async def test_a_prompt_on_a_used_thread_begins_a_new_run(status: str) -> None:
    used = accepted(
        status=status,
        plan={"steps": [{"step": 1}]},
        plan_proposed={"steps": []},
        cursor=1,
        attempt=2,
        not_before=5.0,
        generation=1,
        log=[{"kind": "mark"}],
        planning_log=[{"planner": "pattern"}],
        result={"output": 1, "summary": ""},
        error=run_error("cancelled", "gone"),
        completed_at=9.0,
    )
    update = await plan(used, limits=LIMITS)
    fresh = new_run(
        "a task",
        run_id=update["run_id"],
        owner="me",
        limits=LIMITS,
        created_at=update["created_at"],
    )

    assert UUID(update["run_id"])
    assert update == {
        **fresh,
        "status": "running",
        "started_at": update["created_at"],
        "planned_by": update["planned_by"],
        "log": Overwrite([]),
    }


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        (None, "kind"),
        (["a task"], "kind"),
        ("", "empty"),
        (" \n\t ", "blank"),
        ("x" * 11, "long"),
        ("half \ud83d", "surrogate"),
        ("nul \0", "null"),
    ],
)
async def test_what_is_no_prompt_ends_the_run_with_the_reason(prompt: Any, key: str) -> None:
    for state in (accepted(prompt), cast("RunState", {"prompt": prompt})):
        update = await plan(state, limits=LIMITS)

        assert update["error"] == run_error("plan_rejected", wording(f"runs.prompt.{key}"))
        assert update["status"] == "running"


async def test_the_limits_of_the_accepted_run_hold_not_those_of_today() -> None:
    generous = Limits(**{**LIMITS, "max_prompt": 100})
    update = await plan(accepted("x" * 50, limits=generous), limits=LIMITS)

    assert "error" not in update


@pytest.mark.parametrize("prompt", ["x" * 10, " a ", "日本語 \N{WAVING HAND SIGN}", "two\nlines"])
def test_any_other_text_is_a_prompt(prompt: str) -> None:
    assert prompt_error(prompt, 10) is None
