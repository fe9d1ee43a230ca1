"""The node `finalize`: a result that counts but never quotes, or the error that is there."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from langgraph.types import Overwrite

from graph.state import DEFAULT_LIMITS, Attempt, Plan, RunState, Step, new_run, run_error
from nodes.finalize import finalize
from tests.support.wording.graph.runs import OUTPUTS
from tests.support.wording.messages import wording
from tools.registry import make_tools, tool
from tools.toolbox import Tool


@tool("notes.list", noun="note")
async def list_notes() -> list[str]:
    """List the notes."""
    return []


TOOLS = make_tools([list_notes])


def attempt(step: int, output: Any, tool: str = "notes.list", status: Any = "ok") -> Attempt:
    return Attempt(
        kind="attempt",
        step=step,
        tool=tool,
        input={},
        attempt=1,
        generation=0,
        status=status,
        output=output,
        error=None,
        retry_at=None,
        thread_running=False,
        started_at=0.0,
        duration_ms=0.0,
    )


def run(*log: Attempt, steps: int = 1) -> RunState:
    state = new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    numbered = range(1, steps + 1)
    state["plan"] = Plan(
        steps=[Step(step=n, tool="t", input={}, reasoning="", span=None) for n in numbered]
    )
    state["status"] = "running"
    state["log"] = list(log)
    return state


@pytest.mark.parametrize(("key", "output"), OUTPUTS.items(), ids=OUTPUTS)
async def test_the_summary_counts_and_never_quotes(key: str, output: Any) -> None:
    update = await finalize(run(attempt(1, output)), tools=TOOLS)

    summary = wording(f"runs.summary.{key}")
    assert update["result"] == {"output": output, "summary": summary, "answer": None}


async def test_the_result_is_the_output_of_the_last_step() -> None:
    log = [
        attempt(1, "first"),
        attempt(2, None, status="error"),
        attempt(2, ["a", "b"]),
    ]
    update = await finalize(run(*log, steps=2), tools=TOOLS)

    summary = wording("runs.summary.steps")
    assert update["result"] == {"output": ["a", "b"], "summary": summary, "answer": None}


async def test_a_mark_after_the_last_step_does_not_hide_its_output() -> None:
    """A run may be taken up between its last step and its end."""
    state = run(attempt(1, 3))
    state["log"].append({"kind": "mark", "what": "taken_up", "at": 1.0, "by": "server"})

    assert (await finalize(state, tools=TOOLS))["result"]["output"] == 3


async def test_a_tool_that_is_no_longer_there_has_items() -> None:
    update = await finalize(run(attempt(1, [1, 2], tool="gone")), tools=TOOLS)

    assert update["result"]["summary"] == wording("runs.summary.items")


async def test_a_completed_run_is_settled_now() -> None:
    before = time.time()
    update = await finalize(run(attempt(1, 3)), tools=TOOLS)

    assert update["status"] == "completed"
    assert before <= update["completed_at"] <= time.time()


async def test_a_run_with_an_error_is_failed_and_has_no_result(tools: Mapping[str, Tool]) -> None:
    before = time.time()
    state = run(attempt(1, 3))
    state["error"] = run_error("step_failed", "it broke", step=2)
    update = await finalize(state, tools=tools)

    assert update == {
        "log": Overwrite(state["log"]),
        "status": "failed",
        "completed_at": update["completed_at"],
        "not_before": None,
    }
    assert before <= update["completed_at"] <= time.time()
