"""What was decided about a plan that waits for a person; the graph is resumed with it."""

from typing import Literal

from typing_extensions import TypedDict

from graph.state import Plan, RunState


class Decision(TypedDict):
    """One decision, stored before it is carried out; `at` in epoch seconds.

    `plan` is what is to be executed instead of the plan that was proposed, if it was edited.
    """

    what: Literal["approved", "rejected", "expired"]
    at: float
    by: str
    reason: str | None
    plan: Plan | None


def is_carried_out(decision: Decision, state: RunState) -> bool:
    """Whether the state of a run has taken over a decision about its plan."""
    told = (decision["what"], decision["at"], decision["by"])
    return told in [
        (entry["what"], entry["at"], entry["by"])
        for entry in state.get("log", [])
        if entry["kind"] == "mark"
    ]
