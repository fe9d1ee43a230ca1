"""What is told of where the time of a run went, and why it came to its end."""

from typing_extensions import TypedDict

from graph.causes import Cause
from graph.state import Status
from graph.time_spent import Part


class StepSpent(TypedDict):
    """What one step of the plan took; times in milliseconds."""

    step: int
    tool: str
    attempts: int
    tools_ms: float
    backoff_ms: float


class Retries(TypedDict):
    """What was done again: attempts at a step and planning calls after the first, take-ups after
    the process had ended, and how often somebody told the run to go on after its end."""

    attempts: int
    planning: int
    taken_up: int
    told: int


class Explanation(TypedDict):
    """Where the time of a run went and why; `until` in epoch seconds, parts in milliseconds.

    The parts in `time_ms` add up to `total_ms`, which ends at `until`: when the run was settled,
    or now.
    """

    run_id: str
    status: Status
    until: float
    total_ms: float
    time_ms: dict[Part, float]
    steps: list[StepSpent]
    retries: Retries
    causes: list[Cause]
    sentences: list[str]
