"""Removing settled runs, with everything that was kept for them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from graph.state import RunState
from nodes.contract.attempts import step_key
from tools.receipts import namespace


@dataclass(frozen=True)
class Remains:
    """What is kept of one run under other names than its own: the receipts of its steps.

    `generation`: how often it was retried by then.
    """

    run_id: str
    generation: int
    receipts: tuple[str, str]
    step_keys: Sequence[str]


#: Removes settled runs in one transaction; how many. One that is not settled, was retried since, or
#: is gone, is left.
Remove = Callable[[Sequence[Remains]], Awaitable[int]]


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
