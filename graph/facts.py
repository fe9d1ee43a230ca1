"""What the index knows of a run's course, so that runs can be found by it."""

from dataclasses import dataclass
from typing import Literal

from graph.state import RunState
from graph.status import RESTING, SETTLED

Planner = Literal["llm", "pattern"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run's course as it was when its status was last written; null is not known.

    `tools` are those that it called and, while it is not settled, those that its plan calls. `usd`
    is what its planning cost, known once it rests. `retries` and `taken_up` count.
    """

    planner: Planner | None = None
    model: str | None = None
    tools: tuple[str, ...] = ()
    usd: float | None = None
    retries: int = 0
    taken_up: int = 0


#: Of a run that nobody has looked at.
NO_FACTS = Facts()


def facts_of(state: RunState) -> Facts:
    """The facts that a state holds."""
    log = state.get("log", [])
    attempts = [entry for entry in log if entry["kind"] == "attempt"]
    marks = [entry["what"] for entry in log if entry["kind"] == "mark"]
    planned_by = state["planned_by"]
    tools = [attempt["tool"] for attempt in attempts]
    if state["status"] not in SETTLED:
        tools += [step["tool"] for step in state["plan"]["steps"]]
    return Facts(
        planner=planned_by["source"] if planned_by else None,
        model=planned_by["model"] if planned_by else None,
        tools=tuple(dict.fromkeys(tools)),
        usd=state["usage"]["usd"] if state["status"] in RESTING else None,
        retries=sum(1 for attempt in attempts if attempt["attempt"] > 1),
        taken_up=marks.count("taken_up"),
    )
