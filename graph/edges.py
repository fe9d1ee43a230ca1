"""The edges: pure routers from the state to the next node; each signature is an edge list.

They are `async def` although nothing waits in them: LangGraph sends a plain function through the
shared thread pool, where it would queue behind blocking work.
"""

from typing import Literal

from graph.state import RunState


async def after_plan(
    state: RunState,
) -> Literal["execute_step", "plan", "fallback_plan", "finalize"]:
    """A plan is executed, an error ends the run.

    Without a plan a model is asked again, or the next one; when none is left, the pattern planner.
    """
    if state["error"]:
        return "finalize"
    if state["plan"]["steps"]:
        return "execute_step"
    return "plan" if state.get("planning") else "fallback_plan"


async def after_fallback_plan(state: RunState) -> Literal["execute_step", "finalize"]:
    """A plan is executed; a refusal ends the run with nothing done."""
    return "finalize" if state["error"] else "execute_step"


async def after_step(state: RunState) -> Literal["execute_step", "finalize"]:
    """The next step, or the same one again, until all are done or one has failed for good."""
    if state["error"] or state["cursor"] >= len(state["plan"]["steps"]):
        return "finalize"
    return "execute_step"
