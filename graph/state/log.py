"""What is logged of a run: attempts at its steps, calls of planners, and what came from outside."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from graph.state.continuation import Retry
from graph.state.plan import Plan, Step


class AttemptError(TypedDict):
    """Why one attempt failed, and whether another one may succeed."""

    type: str
    message: str
    retryable: bool


class Attempt(TypedDict):
    """One execution of one step; times are epoch seconds, `input` is resolved."""

    kind: Literal["attempt"]
    step: int
    tool: str
    input: dict[str, Any]
    attempt: int
    generation: int
    status: Literal["ok", "error", "timeout", "cancelled"]
    output: Any
    error: AttemptError | None
    retry_at: float | None
    thread_running: bool
    may_have_acted: bool
    started_at: float
    duration_ms: float


class Mark(TypedDict):
    """Something that happened to a run from outside its steps; `event` is its event's number.

    `retry` is there with a mark of that kind only, `steps` with the approval of an edited plan.
    """

    kind: Literal["mark"]
    what: Literal["taken_up", "cancel", "retry", "approved", "rejected", "expired"]
    at: float
    by: str
    detail: str | None
    event: NotRequired[int]  # those of earlier versions have none
    retry: NotRequired[Retry]
    steps: NotRequired[list[Step]]


class PlanningCall(TypedDict):
    """One call of a planner; tokens and price are null where there are none.

    `error_class` says why a call failed or was skipped, `transient` whether that may pass by
    itself, `reasons` why an answer was rejected. `rejected_plan` is the plan that a model's answer
    held, when the plan check rejected it and it is small enough to be kept; entries of earlier
    versions lack the key.
    """

    planner: Literal["llm", "pattern"]
    model: str | None
    outcome: Literal["planned", "empty", "refused", "rejected", "failed", "skipped"]
    error_class: str | None
    transient: bool | None
    reasons: list[str]
    started_at: float
    duration_ms: float
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    rejected_plan: NotRequired[Plan | None]


def ended_at(entry: Attempt | PlanningCall) -> float:
    """When an attempt or a call of a planner was over, in epoch seconds."""
    return entry["started_at"] + entry["duration_ms"] / 1000


def extend(log: list[Any], writes: Sequence[Any]) -> list[Any]:
    """Reducer of the append-only lists: pure, and the same however writes are batched.

    Whoever edits a state by hand may give the whole list back: of a write that begins with it, only
    the rest is new. What is no list is kept as an entry, for the nodes to say what is wrong.
    """
    whole = list(log)
    for write in writes:
        entries = write if isinstance(write, list) else [write]
        known = len(whole) if entries[: len(whole)] == whole else 0
        whole.extend(entries[known:])
    return whole
