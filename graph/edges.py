"""The edges: pure routers from the state to what becomes of the run, and where that leads.

What a router returns is the edge's label in the drawing. They are `async def` although nothing
waits in them: LangGraph sends a plain function through the shared thread pool, where it would queue
behind blocking work.
"""

from collections.abc import Hashable
from typing import Any, Literal

from graph.state import RunState
from graph.state.rounds import is_answered, is_planning

#: Where each label leads.
AFTER_PLAN: dict[Hashable, str] = {
    "planned": "execute_step",
    "repair or next model": "plan",
    "no model left": "fallback_plan",
    "nothing to execute": "finalize",
}
AFTER_FALLBACK_PLAN: dict[Hashable, str] = {"planned": "execute_step", "refused": "finalize"}
AFTER_STEP: dict[Hashable, str] = {
    "next step or retry": "execute_step",
    "look or mend": "plan",
    "all done or failed": "finalize",
}


async def after_plan(
    state: RunState,
) -> Literal["planned", "repair or next model", "no model left", "nothing to execute"]:
    """What is left of a plan is executed; an error ends the run, and so does a plan that is done,
    or an answer instead of one.

    While a round is planned a model is asked again, or the next one; where none is left for the
    first round, the pattern planner.
    """
    if state.get("error"):
        return "nothing to execute"
    if is_planning(state):
        return "repair or next model"
    if is_answered(state):
        return "nothing to execute"
    if _steps(state) == []:
        return "no model left"
    return "nothing to execute" if _is_done(state) else "planned"


async def after_fallback_plan(state: RunState) -> Literal["planned", "refused"]:
    """A plan is executed; a refusal ends the run with nothing done."""
    return "refused" if state.get("error") else "planned"


async def after_step(
    state: RunState,
) -> Literal["next step or retry", "look or mend", "all done or failed"]:
    """The next step, or the same one again, until all are done or one has failed for good.

    Between two rounds a model is asked.
    """
    if state.get("error"):
        return "all done or failed"
    if is_planning(state):
        return "look or mend"
    return "all done or failed" if _is_done(state) else "next step or retry"


def _is_done(state: RunState) -> bool:
    """Whether no step is left; a plan edited by hand into none is for `execute_step` to refuse."""
    steps, cursor = _steps(state), state.get("cursor")
    return bool(steps) and isinstance(cursor, int) and cursor >= len(steps or ())


def _steps(state: RunState) -> list[Any] | None:
    """The plan's steps; None where somebody edited the plan into something else."""
    plan: Any = state.get("plan")
    steps = plan.get("steps") if isinstance(plan, dict) else None
    return steps if isinstance(steps, list) else None
