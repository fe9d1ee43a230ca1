"""The node `fallback_plan`: the deterministic pattern planner, offline and without a model."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from graph.state import Plan, PlanningCall, RunState, run_error
from nodes.contract.plan_check import check_plan
from nodes.patterns.planner import PatternPlanner, Reading
from tools.registry import Tool


async def fallback_plan(
    state: RunState, *, planner: PatternPlanner, tools: Mapping[str, Tool]
) -> dict[str, Any]:
    """Plan the prompt by its language patterns, or refuse it whole and say which words."""
    started_at = time.time()
    reading = planner.read(state["prompt"])
    if reading.unparsed:
        error = run_error(
            "not_understood",
            _refusal(state, reading),
            unparsed=reading.unparsed,
            examples=reading.examples,
        )
        return {"error": error, "planning_log": _logged(state, "refused", started_at)}
    plan = Plan(steps=reading.steps)
    if reasons := check_plan(plan["steps"], tools, state["limits"]):
        error = run_error("plan_rejected", "; ".join(reasons), rejected_plan=plan)
        return {"error": error, "planning_log": _logged(state, "rejected", started_at, reasons)}
    return {"plan": plan, "planning_log": _logged(state, "planned", started_at)}


def _refusal(state: RunState, reading: Reading) -> str:
    """Which words were not understood, and why no model had planned them."""
    words = "; ".join(f'"{part["text"]}"' for part in reading.unparsed)
    before = state["planned_by"] if state["planned_by"] and state["planning_log"] else None
    why = f"{before['reason']}; " if before else ""
    return f"{why}not understood: {words}. Nothing was done."


def _logged(
    state: RunState,
    outcome: Literal["planned", "refused", "rejected"],
    started_at: float,
    reasons: Sequence[str] = (),
) -> list[PlanningCall]:
    call = PlanningCall(
        planner="pattern",
        model=None,
        outcome=outcome,
        error_class=None,
        transient=None,
        reasons=list(reasons),
        started_at=started_at,
        duration_ms=round((time.time() - started_at) * 1000, 3),
        input_tokens=None,
        output_tokens=None,
        usd=None,
    )
    return [*state["planning_log"], call]
