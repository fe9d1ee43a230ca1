"""Removing settled runs, with everything that was kept for them."""

from graph.state import RunState
from graph.state.row import Remains
from nodes.contract.attempts import step_key
from tools.receipts import namespace


def remains(state: RunState) -> Remains:
    """What is kept of a run. The keys are those of every attempt that it can have made."""
    edited, proposed = state["plan"], state.get("plan_proposed")
    steps = max(
        len(edited["steps"]),
        len(proposed["steps"]) if proposed else 0,
        *(entry["step"] for entry in state.get("log", []) if entry["kind"] == "attempt"),
        0,
    )
    return Remains(
        run_id=state["run_id"],
        generation=state["generation"],
        receipts=namespace("receipts", state["owner"]),
        step_keys=[
            step_key({**state, "generation": generation}, step)
            for generation in range(state["generation"] + 1)
            for step in range(1, steps + 1)
        ],
    )
