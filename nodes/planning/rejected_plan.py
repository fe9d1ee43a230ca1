"""The plans of models that the plan check rejected, as the record keeps them."""

from collections.abc import Sequence

from graph.state import Plan, PlanningCall, Step
from nodes.contract.outputs import InvalidOutput, plain

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
