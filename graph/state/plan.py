"""A plan: the tool calls that a run makes, and who thought of them."""

from typing import Any, Literal

from typing_extensions import TypedDict

Span = list[int]  # [start, end] in the prompt; a list because JSON has no tuples


class Step(TypedDict):
    """One tool call of a plan; `input` may hold references to earlier outputs."""

    step: int
    tool: str
    input: dict[str, Any]
    reasoning: str
    span: Span | None


class Plan(TypedDict):
    """Empty while unplanned and when refused."""

    steps: list[Step]


class PlannedBy(TypedDict):
    """Who made the plan and why it was them."""

    source: Literal["llm", "pattern"]
    model: str | None
    reason: str
    complexity: dict[str, Any] | None
