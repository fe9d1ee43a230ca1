"""Plans that a retry or a fork goes on with: asked about unless somebody has approved just them.

One rule for both: a run that asks for approval executes no plan that nobody has approved. An
approval holds for the steps as they were approved, in the run and in its forks; an edited input or
an edited plan is another plan. Leaving steps out needs no approval.
"""

import time
from collections.abc import Mapping
from typing import Any

from graph.state import Approval, Asks, Plan, RunState
from nodes.approving.planned_tools import to_be_asked_about
from tools.registry import Tool


def asks_for(state: RunState, plan: Plan, tools: Mapping[str, Tool], expires: float) -> Asks | None:
    """What is to be asked before a run in this state goes on with `plan`, perhaps an edited one.

    None where nothing is; `expires` is how long it waits for the answer, in seconds.
    """
    if _is_approved(state) and _calls(plan) == _calls(state["plan"]):
        return None
    used = to_be_asked_about(plan["steps"], tools, state.get("approve", "never"))
    return Asks(tools=used, expires=expires) if used else None


def asking_for(state: RunState) -> dict[str, Any]:
    """The update that lets a run wait which was retried or forked with an unapproved plan.

    Empty for any other.
    """
    begun = _begun(state)
    if not begun or not (asks := begun.get("asks")):
        return {}
    now = time.time()
    approval = Approval(asked_at=now, expires_at=now + asks["expires"], tools=asks["tools"])
    return {"status": "waiting", "approval": approval}


def _is_approved(state: RunState) -> bool:
    """Whether the plan of a state was approved, here or where it was forked."""
    for entry in reversed(state.get("log", [])):
        if entry["kind"] != "mark":
            continue
        if entry["what"] == "approved":
            return True
        if "asks" in entry.get("retry", ()):
            return False
    fork = state.get("forked_from")
    return bool(fork and fork["from_step"] is not None and "asks" not in fork)


def _begun(state: RunState) -> Mapping[str, Any] | None:
    """What the run goes on from: its last retry, or the checkpoint that it was forked from."""
    for entry in reversed(state.get("log", [])):
        if entry["kind"] == "mark" and "retry" in entry:
            retry: Mapping[str, Any] = entry["retry"]
            return retry
    return state.get("forked_from")


def _calls(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    return [(step["tool"], step["input"]) for step in plan["steps"]]
