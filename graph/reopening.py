"""Reopening a settled run: the state from which it goes on as an order to retry it says."""

import time
from typing import Any

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph
from graph.record.events import next_event
from graph.retrying import first_cursor, retried_plan
from graph.state import Ending, Mark, Retry, RunState
from graph.state.row import RetryOrder
from nodes.approving.unapproved import asking_for


def is_due(order: RetryOrder | None, state: RunState) -> bool:
    """Whether a state has not taken over an order to retry."""
    return order is not None and state["generation"] < order["generation"]


async def reopen(
    graph: RunGraph, config: RunnableConfig, state: RunState, order: RetryOrder
) -> None:
    """Let a settled run take over the order: it is pending then, with a mark that says so."""
    node = "execute_step" if state["plan"]["steps"] else "__start__"
    await graph.aupdate_state(config, _reopened(state, order), as_node=node)


async def set_running(graph: RunGraph, config: RunnableConfig, state: RunState) -> None:
    """Note that a run goes on with the plan that it was retried or forked with.

    Where nobody has approved that plan, it waits with it instead: both are one checkpoint, so that
    nothing can die in between. A run without a plan notes its start in planning.
    """
    if state["status"] == "pending" and state["plan"]["steps"]:
        update = {"status": "running", "started_at": time.time()} | asking_for(state)
        await graph.aupdate_state(config, update, as_node="execute_step")


def _reopened(state: RunState, order: RetryOrder) -> dict[str, Any]:
    """The update that turns a settled run into one that is to go on."""
    plan = retried_plan(state["plan"], order)
    update: dict[str, Any] = {
        "status": "pending",
        "plan": plan,
        "cursor": first_cursor(plan["steps"], order),
        "attempt": 0,
        "not_before": None,
        "generation": order["generation"],
        "skipped": order["skip"],
        "log": [_mark(state, order)],
        "planning": None,
        "result": None,
        "error": None,
        "started_at": None,
        "paused": 0.0,
        "completed_at": None,
    }
    if order["input"] is not None:
        update["plan_proposed"] = state["plan_proposed"] or state["plan"]
    if not plan["steps"]:
        update["planned_by"] = None
    return update


def _mark(state: RunState, order: RetryOrder) -> Mark:
    retry = Retry(
        from_step=order["from_step"],
        input=order["input"],
        skip=order["skip"],
        generation=order["generation"],
        ended=_ending(state),
    )
    if "asks" in order:
        retry["asks"] = order["asks"]
        retry["ended"]["plan"] = state["plan"]  # whoever approves may edit it
    return Mark(
        kind="mark",
        what="retry",
        at=order["at"],
        by=order["by"],
        detail=_detail(state, order),
        event=next_event(state),
        retry=retry,
    )


def _ending(state: RunState) -> Ending:
    return Ending(
        status=state["status"],
        error=state["error"],
        usage=state["usage"],
        planned_by=state["planned_by"],
        steps=len(state["plan"]["steps"]),
        planned=len(state["planning_log"]),
        generation=state["generation"],
        started_at=state["started_at"],
        completed_at=state["completed_at"],
        approval=state.get("approval"),
    )


def _detail(state: RunState, order: RetryOrder) -> str:
    """What was asked for, in words."""
    if order["from_step"] is None:
        return "planned again"
    words = f"from step {order['from_step']} of {len(state['plan']['steps'])}"
    if order["input"] is not None:
        words += ", with an edited input"
    if order["skip"]:
        words += f", without {', '.join(f'step {step}' for step in order['skip'])}"
    return words
