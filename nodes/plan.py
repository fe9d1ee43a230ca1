"""The node `plan`: begins a run and asks a model for a plan, one call at each visit."""

import time
from typing import Any, cast
from uuid import uuid4

from langgraph.types import Overwrite

from graph.state import (
    Approve,
    Limits,
    PlannedBy,
    Planning,
    RunState,
    new_run,
    run_error,
)
from graph.state.rounds import round_of
from nodes.approval.asking import ApprovalGate
from nodes.contract.json_data import UNSTORABLE
from nodes.contract.steps import Wait, sleep_until
from nodes.planning.budget import most
from nodes.planning.planner import ModelPlanner
from nodes.planning.unplanned import incomplete


async def plan(
    state: RunState,
    *,
    limits: Limits,
    models: ModelPlanner | None = None,
    wait: Wait = sleep_until,
    asking: ApprovalGate | None = None,
) -> dict[str, Any]:
    """Start the run, or go on where the planning of its first or a later round stands.

    The beginning and every call, repair and next model are visits of their own, so that each is
    checkpointed and can be seen; without models the pattern planner is to answer at once.
    """
    if models is not None:
        models = await models.of(state.get("owner", "default"))
    planning = state.get("planning")
    if planning and planning["prompt"] == state["prompt"]:
        return await _continue(models, state, planning, wait, asking)
    update = begin(state, limits, asking.default if asking else "never")
    begun = cast("RunState", {**state, **update})
    if reason := prompt_error(begun["prompt"], begun["limits"]["max_prompt"]):
        # What is no text does not stay where others read it as one.
        kept = begun["prompt"] if isinstance(begun["prompt"], str) else ""
        return update | {"prompt": kept, "error": run_error("plan_rejected", reason)}
    if models is None:
        return update | _by_patterns()
    # The first call is a visit of its own, so that the run is seen to be running meanwhile.
    planning, by = models.judge(begun)
    return update | {"planning": planning, "planned_by": by}


async def _continue(
    models: ModelPlanner | None,
    state: RunState,
    planning: Planning,
    wait: Wait,
    asking: ApprovalGate | None,
) -> dict[str, Any]:
    """The update of the next call of a model, once it is due."""
    if models is None:  # the settings have changed since the run was begun
        return _by_patterns() if round_of(planning) == 1 else _without_models(state)
    if not planning["queue"]:  # begun where nobody knew the models
        return {"planning": {**planning, "queue": models.queue(state)}}
    if planning["not_before"] is None:
        return await _ask(models, state, planning, asking)
    # Clamped, since a clock that was set back would make it wait by as much longer.
    moment = min(planning["not_before"], time.time() + most(models.ladder.timeout))
    paused = state.get("paused", 0.0) + await wait(moment)
    state = {**state, "paused": paused}
    return {"paused": paused} | await _ask(models, state, planning, asking)


async def _ask(
    models: ModelPlanner, state: RunState, planning: Planning, asking: ApprovalGate | None
) -> dict[str, Any]:
    update = await models.ask(state, planning)
    return asking.about(state, update) if asking else update


def _by_patterns() -> dict[str, Any]:
    by = PlannedBy(source="pattern", model=None, reason="no model is configured", complexity=None)
    return {"planning": None, "planned_by": by}


def _without_models(state: RunState) -> dict[str, Any]:
    """The pattern planner never answers after a step was executed."""
    calls = len(state["planning_log"])
    message = "no model is configured that could plan on"
    return {"planning": None} | incomplete(state, "models", message, calls=calls)


def begin(state: RunState, limits: Limits, approve: Approve = "never") -> dict[str, Any]:
    """The update that turns an accepted run into a running one.

    A thread can be used again with a second prompt, from Studio or a notebook: what is not an
    accepted run is the input of a new one, which gets its own id and an empty log.
    """
    now = time.time()
    if state.get("status") == "pending":
        return {"status": "running", "started_at": now}
    fresh: dict[str, Any] = dict(
        new_run(
            state.get("prompt", ""),
            run_id=str(uuid4()),
            owner=state.get("owner", "default"),
            limits=limits,
            created_at=now,
            approve=approve,
        )
    )
    if "approve" in state:  # of the run before
        fresh |= {"approve": approve, "approval": None}
    if "choice" in state:
        fresh["choice"] = None
    if "metadata" in state:
        fresh["metadata"] = {}
    if "kept" in state:
        fresh["kept"] = 0
    for name in ("asked", "conversation"):
        if name in state:
            fresh[name] = state[name]
    return fresh | {"status": "running", "started_at": now, "log": Overwrite([])}


def prompt_error(prompt: object, max_length: int) -> str | None:
    """Why this cannot be a prompt, or None; `max_length` is in characters."""
    if not isinstance(prompt, str):
        return "the prompt must be text"
    if not prompt.strip():
        return "the prompt is empty; say what is to be done"
    if len(prompt) > max_length:
        return f"the prompt has {len(prompt)} characters; at most {max_length} are allowed"
    if UNSTORABLE.search(prompt):
        return "the prompt holds a character that no text can have (NUL or half a surrogate pair)"
    return None
