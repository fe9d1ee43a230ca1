"""What is logged of a run: attempts at its steps, calls of planners, and what came from outside."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from graph.state.plan import Approval, Plan, PlannedBy, RequiredApproval, Step, Usage
from graph.state.status import RunError, Status


class ForkedFrom(TypedDict):
    """The checkpoint that a run was forked from; it continues with step `from_step`.

    `from_step` is null where it is planned anew. `logged` and `planned` are the lengths that its
    logs have from there, `skip` the steps that were left out there. `asks` is there where nobody
    has approved what it goes on with.
    """

    run_id: str
    checkpoint_id: str
    from_step: int | None
    skip: list[int]
    logged: int
    planned: int
    asks: NotRequired[RequiredApproval]


class Ending(TypedDict):
    """How a run stood when it was settled and somebody had it retried; times in epoch seconds.

    What events tell of the end, and of everything before it, is read from here: the state itself
    has gone on. `steps` is the length of its plan, 0 where it had none; `planned` is the length of
    its planning log. `approval` is missing in those of earlier versions; `plan` is there only
    where a person may replace it from here on.
    """

    status: Status
    error: RunError | None
    usage: Usage
    planned_by: PlannedBy | None
    steps: int
    planned: int
    generation: int
    started_at: float | None
    completed_at: float | None
    approval: NotRequired[Approval | None]
    plan: NotRequired[Plan]


class Retry(TypedDict):
    """What a retry was asked to do; the run continues with step `from_step`.

    `from_step` is null where there is no plan yet: the run is planned again. `input` is the edited
    input of that step, `skip` the steps that are left out from now on, `ended` the end undone.
    `asks` is there where nobody has approved what the run continues with.
    """

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    ended: Ending
    asks: NotRequired[RequiredApproval]


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


def attempts(state: Mapping[str, Any]) -> list[Attempt]:
    """The attempts that the log of a state has, the first one first."""
    return [entry for entry in state.get("log", ()) if entry["kind"] == "attempt"]


def marks(state: Mapping[str, Any], *what: str) -> list[Mark]:
    """The marks that the log of a state has, or those of these kinds; the first one first."""
    found = [entry for entry in state.get("log", ()) if entry["kind"] == "mark"]
    return [mark for mark in found if mark["what"] in what] if what else found


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
