"""What was decided about a plan that waits for a person; the graph is resumed with it."""

from graph.state import RunState
from graph.state.row import Decision


def is_carried_out(decision: Decision, state: RunState) -> bool:
    """Whether the state of a run has taken over a decision about its plan."""
    told = (decision["what"], decision["at"], decision["by"])
    return told in [
        (entry["what"], entry["at"], entry["by"])
        for entry in state.get("log", [])
        if entry["kind"] == "mark"
    ]
