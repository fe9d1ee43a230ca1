"""The least that a graph of this topology can be: three keys, no planner, no tools, no store."""

from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

STEPS = 2


class MinimalState(TypedDict, total=False):
    """A prompt, what was done, and everything else."""

    prompt: str
    run: dict[str, Any]
    log: list[dict[str, Any]]


async def plan(state: MinimalState) -> dict[str, Any]:
    """A run that was begun."""
    return {"run": {"cursor": 0}}


async def fallback_plan(state: MinimalState) -> dict[str, Any]:
    """A plan of as many steps as the other graphs have."""
    return {"run": {**state["run"], "steps": STEPS}}


async def execute_step(state: MinimalState) -> dict[str, Any]:
    """A step that does nothing."""
    run = state["run"]
    log = [*state.get("log", []), {"step": run["cursor"] + 1, "status": "ok"}]
    return {"run": {**run, "cursor": run["cursor"] + 1}, "log": log}


async def finalize(state: MinimalState) -> dict[str, Any]:
    """Completed."""
    return {"run": {**state["run"], "status": "completed"}}


async def after_plan(
    state: MinimalState,
) -> Literal["execute_step", "plan", "fallback_plan", "finalize"]:
    """Nothing is planned there."""
    return "fallback_plan"


async def after_fallback_plan(state: MinimalState) -> Literal["execute_step", "finalize"]:
    """The plan is executed."""
    return "execute_step"


async def after_step(state: MinimalState) -> Literal["execute_step", "finalize"]:
    """The next step, until all are done."""
    run = state["run"]
    return "finalize" if run["cursor"] >= run["steps"] else "execute_step"


def minimal_graph(saver: BaseCheckpointSaver[str]) -> Any:
    """The graph over a saver."""
    builder = StateGraph(MinimalState)
    for node in (plan, fallback_plan, execute_step, finalize):
        builder.add_node(node)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", after_plan)
    builder.add_conditional_edges("fallback_plan", after_fallback_plan)
    builder.add_conditional_edges("execute_step", after_step)
    builder.add_edge("finalize", END)
    return builder.compile(checkpointer=saver)
