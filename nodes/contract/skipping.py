"""Steps that a retry leaves out: the cursor passes them, and nothing may refer to them."""

from collections.abc import Collection, Sequence

from graph.state import RunState, Step
from nodes.contract.references import references


def next_cursor(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> int:
    """The first place from `cursor` on whose step is to be executed; the plan's end if none is."""
    while cursor < len(steps) and steps[cursor]["step"] in skipped:
        cursor += 1
    return cursor


def left_out(state: RunState) -> int:
    """How many steps were passed by so far without being done."""
    return sum(step <= state["cursor"] for step in state.get("skipped", []))


def missed(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> list[str]:
    """Which steps from `cursor` on refer to one that is left out; one sentence for each."""
    return [
        f"step {reference.step} cannot be left out: step {step['step']} refers to it"
        f" as {reference.text}"
        for step in steps[cursor:]
        if step["step"] not in skipped
        for reference in references(step["input"])
        if reference.step in skipped
    ]
