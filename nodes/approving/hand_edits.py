"""A state that somebody edited between two nodes, most often its plan, as Studio lets them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from graph.state import Plan, RunState, run_error
from nodes.approving.edited_plan import PlanUnfit, read_plan
from nodes.approving.edited_state import StateUnfit, fault_of, renewed, unread
from nodes.contract.attempts import resolved
from nodes.contract.outputs import InvalidOutput
from nodes.contract.references import InvalidReference
from nodes.contract.skipping import next_cursor
from nodes.planning.budget import limits_of
from tools.registry import Tool


def checked_plan(state: RunState, tools: Mapping[str, Tool]) -> Plan:
    """The plan as it may go on: it passes the check of every plan, and what is done fits it.

    Steps that leave out what a plan need not say come back complete. Raises `PlanUnfit`,
    and its kind `StateUnfit` where something else in the state is wrong.
    """
    if unfit := fault_of(state):
        raise unfit
    plan = read_plan(state["plan"], tools, limits_of(state))
    cursor: Any = state["cursor"]
    count = len(plan["steps"])
    if type(cursor) is not int or not 0 <= cursor <= count:
        raise PlanUnfit([f"the cursor is {cursor!r}; it counts the steps done, here 0 to {count}"])
    if all(step["step"] in state["skipped"] for step in plan["steps"]):
        raise PlanUnfit(["every step of it is left out; take one out of `skipped`"])
    if reasons := _changed({**state, "plan": plan}):
        raise PlanUnfit(reasons)
    return plan


def check_done(plan: Plan, state: RunState) -> None:
    """Raise `PlanUnfit` where steps are left to do: whoever steers by hand can pass them by."""
    place = next_cursor(plan["steps"], state["skipped"], state["cursor"])
    if place < len(plan["steps"]):
        raise PlanUnfit([f"the run was ended before step {place + 1}; go on with execute_step"])


def refused(state: RunState, unfit: PlanUnfit) -> dict[str, Any]:
    """The update that ends a run whose plan was edited into one that must not be executed.

    What is no plan at all does not stay in the state, where others read it as one.
    """
    plan = state["plan"] if _is_plan(state.get("plan")) else Plan(steps=[])
    if isinstance(unfit, StateUnfit):
        return renewed(state, unfit) | {"plan": plan}
    message = f"the plan in the state must not be executed: {unfit}"
    return {"plan": plan, "error": run_error("plan_rejected", message, rejected_plan=plan)}


def _is_plan(given: Any) -> bool:
    return not unread(_plan(), given)


@cache
def _plan() -> TypeAdapter[Any]:
    return TypeAdapter(Plan)


def _changed(state: RunState) -> list[str]:
    """Which steps count as done and were done otherwise; one sentence for each."""
    done = {
        entry["step"]: (entry["tool"], entry["input"])
        for entry in state["log"]
        if entry["kind"] == "attempt" and entry["status"] == "ok"
    }
    reasons = []
    for place, step in enumerate(state["plan"]["steps"][: state["cursor"]]):
        if step["step"] in state["skipped"]:
            continue
        try:
            as_planned = step["tool"], resolved(state, step)
        except (InvalidReference, InvalidOutput):
            as_planned = None
        if step["step"] not in done or done[step["step"]] != as_planned:
            reasons.append(
                f"step {step['step']} was not executed as it stands; "
                f"set the cursor to {place} to have it executed, or leave it as it was"
            )
    return reasons
