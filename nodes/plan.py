"""The node `plan`: begins a run and asks the model for a plan, if one is configured."""

import re
import time
from typing import Any
from uuid import uuid4

from langgraph.types import Overwrite

from graph.state import Limits, PlannedBy, RunState, new_run, run_error

_SURROGATE = re.compile("[\ud800-\udfff]")


async def plan(state: RunState, *, limits: Limits) -> dict[str, Any]:
    """Start the run; hand it to the pattern planner where no model is configured."""
    update = begin(state, limits)
    prompt = state.get("prompt")
    allowed = update.get("limits", state.get("limits", limits))["max_prompt"]
    if reason := prompt_error(prompt, allowed):
        return update | {"error": run_error("plan_rejected", reason)}
    return update | {
        "planned_by": PlannedBy(
            source="pattern", model=None, reason="no model is configured", complexity=None
        )
    }


def begin(state: RunState, limits: Limits) -> dict[str, Any]:
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
        )
    )
    return fresh | {"status": "running", "started_at": now, "log": Overwrite([])}


def prompt_error(prompt: object, max_length: int) -> str | None:
    """Why this cannot be a prompt, or None; `max_length` is in characters."""
    if not isinstance(prompt, str):
        return "the prompt must be text"
    if not prompt.strip():
        return "the prompt is empty; say what is to be done"
    if len(prompt) > max_length:
        return f"the prompt has {len(prompt)} characters; at most {max_length} are allowed"
    if "\0" in prompt or _SURROGATE.search(prompt):
        return "the prompt holds a character that no text can have (NUL or half a surrogate pair)"
    return None
