"""How a run stands, and what it has come to: a result, or an error."""

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from graph.state.plan import Plan, Span

Status = Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]

ErrorType = Literal[
    "not_understood",
    "plan_rejected",
    "step_failed",
    "budget_exceeded",
    "rejected",
    "cancelled",
    "internal",
]


class Result(TypedDict):
    """The last step's output, and one line that counts but never quotes items."""

    output: Any
    summary: str


class Unparsed(TypedDict):
    """Words of the prompt that no planner could place."""

    text: str
    span: Span


class RunError(TypedDict):
    """Why a run did not complete."""

    type: ErrorType
    message: str
    step: int | None
    unparsed: list[Unparsed]
    examples: list[str]
    rejected_plan: Plan | None


def run_error(
    kind: ErrorType,
    message: str,
    *,
    step: int | None = None,
    unparsed: Sequence[Unparsed] = (),
    examples: Sequence[str] = (),
    rejected_plan: Plan | None = None,
) -> RunError:
    """A run's error with all its fields, the unnamed ones empty."""
    return RunError(
        type=kind,
        message=message,
        step=step,
        unparsed=list(unparsed),
        examples=list(examples),
        rejected_plan=rejected_plan,
    )
