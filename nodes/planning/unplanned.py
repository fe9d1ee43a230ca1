"""How planning ends without a plan, and what is kept of plans that were unfit."""

from collections.abc import Iterable, Sequence
from typing import Any

from graph.state import Plan, PlanningCall, RunState, Step, run_error
from graph.state.rounds import unmade
from graph.state.status import IncompleteReason
from nodes.contract.json_data import InvalidOutput, plain

_BUDGETS = frozenset({"budget_exceeded", "daily_budget_exceeded"})


def incomplete(
    state: RunState, reason: IncompleteReason, message: str, *, calls: int
) -> dict[str, Any]:
    """The error of a run of which something was done and the rest is left.

    After a step that failed for good it is that failure. `calls`: entries of the log of planning.
    """
    planning = state.get("planning")
    failure = planning.get("failure") if planning else None
    if failure is None:
        error = run_error("incomplete", f"{message}; what was done stays done", reason=reason)
    else:
        message = f"{failure['error']['message']} (not mended: {message})"
        error = run_error("step_failed", message, step=failure["step"])
    return {"error": error} | unmade(state, calls=calls)


def models_failed(log: Iterable[PlanningCall]) -> bool:
    """Whether it was failures of models alone that left a run without their plan.

    Not where one has answered, if only that it cannot or with no plan, nor where nothing but a
    budget has kept the run from asking.
    """
    asked = [entry for entry in log if entry["planner"] == "llm"]
    return all(entry.get("outcome") in ("failed", "skipped") for entry in asked) and any(
        entry["error_class"] not in _BUDGETS for entry in asked
    )


# The plans of models that the plan check rejected, as the record keeps them.


MAX_KEPT = 8_000  # bytes of JSON


def kept(steps: Sequence[Step]) -> Plan | None:
    """The plan of a rejected answer; None where it had none, or one too large to be kept."""
    if not steps:
        return None
    try:
        plan: Plan = plain(Plan(steps=list(steps)), max_bytes=MAX_KEPT, what="plan")
    except InvalidOutput:
        return None
    return plan


def last_rejected(log: Sequence[PlanningCall]) -> Plan | None:
    """The latest plan of a model that was rejected and kept."""
    plans = (entry.get("rejected_plan") for entry in reversed(log))
    return next((plan for plan in plans if plan), None)
