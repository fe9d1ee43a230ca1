"""The edges: pure routers from the state to what becomes of the run, and where that leads.

What a router returns is the edge's label in the drawing. They are `async def` although nothing
waits in them: LangGraph sends a plain function through the shared thread pool, where it would queue
behind blocking work.
"""

from collections.abc import Hashable
from typing import Any, Literal

from graph.state import RunState

#: Where each label leads.
AFTER_PLAN: dict[Hashable, str] = {
    "planned": "execute_step",
    "repair or next model": "plan",
    "no model left": "fallback_plan",
    "refused": "finalize",
}
AFTER_FALLBACK_PLAN: dict[Hashable, str] = {"planned": "execute_step", "refused": "finalize"}
AFTER_STEP: dict[Hashable, str] = {
    "next step or retry": "execute_step",
    "all done or failed": "finalize",
}


async def after_plan(
    state: RunState,
) -> Literal["planned", "repair or next model", "no model left", "refused"]:
    """A plan is executed, an error ends the run.

    Without a plan a model is asked again, or the next one; when none is left, the pattern planner.
    """
    if state.get("error"):
        return "refused"
    if _steps(state) != []:
        return "planned"
    return "repair or next model" if state.get("planning") else "no model left"


async def after_fallback_plan(state: RunState) -> Literal["planned", "refused"]:
    """A plan is executed; a refusal ends the run with nothing done."""
    return "refused" if state.get("error") else "planned"


async def after_step(state: RunState) -> Literal["next step or retry", "all done or failed"]:
    """The next step, or the same one again, until all are done or one has failed for good."""
    if state.get("error"):
        return "all done or failed"
    steps, cursor = _steps(state), state.get("cursor")
    # A plan edited by hand into no plan at all is for `execute_step` to refuse.
    done = steps and isinstance(cursor, int) and cursor >= len(steps)
    return "all done or failed" if done else "next step or retry"


def _steps(state: RunState) -> list[Any] | None:
    """The plan's steps; None where somebody edited the plan into something else."""
    plan: Any = state.get("plan")
    steps = plan.get("steps") if isinstance(plan, dict) else None
    return steps if isinstance(steps, list) else None
