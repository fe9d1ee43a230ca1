"""A plan: the tool calls that a run makes, and who thought of them."""

from typing import Any, Literal, NotRequired

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


# Planning by models: how far it is, and what it has cost.


class Planning(TypedDict):
    """Where planning by models stands between two calls; null before and after.

    `prompt` is what it is about: another one on the thread is a new run. `queue` holds the models
    still to be asked, the current one first. `reasons` are what was wrong with its last `answer`,
    which it may repair once; `retried` says that a passing failure of it was tried again.
    `not_before` is the earliest time of the next call, in epoch seconds. `waited`: seconds that the
    run was told to wait for its models so far; entries of earlier versions lack the key.
    """

    prompt: str
    queue: list[str]
    answer: str
    reasons: list[str]
    retried: bool
    not_before: float | None
    waited: NotRequired[float]


class Usage(TypedDict):
    """What the planning cost; what is not known is null, never 0 instead."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    by_model: dict[str, Any]


# Which plans a person is asked about, and with what.


#: Which plans are executed only when a person has approved them: none, those that have a step whose
#: tool has effects, or all.
Approve = Literal["never", "effects", "always"]


class PlannedTool(TypedDict):
    """A tool that a plan uses, and in which steps; `effects`: whether a call changes something.

    `scope`: which sets its calls are about, in words; the key is there only if they are about some.
    """

    tool: str
    effects: bool
    steps: list[int]
    scope: NotRequired[list[str]]


class Approval(TypedDict):
    """What a person was asked about the plan, and until when; times in epoch seconds."""

    asked_at: float
    expires_at: float
    tools: list[PlannedTool]


class RequiredApproval(TypedDict):
    """That a person is to be asked about a plan before it is executed; `expires` in seconds."""

    tools: list[PlannedTool]
    expires: float
