"""A plan: the tool calls that a run makes, and who thought of them."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from graph.state.wording import Time, doc

Span = list[int]  # [start, end] in the prompt; a list because JSON has no tuples


class Step(TypedDict):
    """One tool call of a plan."""

    step: Annotated[int, doc("Its place in the plan, counted from 1.")]
    tool: Annotated[str, doc("The tool it calls.")]
    input: Annotated[
        dict[str, Any],
        doc("What the tool is given; may refer to earlier outputs, as `{step_1_output}`."),
    ]
    reasoning: Annotated[str, doc("Why the planner made this step.")]
    span: Annotated[
        Span | None, doc("`[start, end]` of the words in the prompt that the step is for.")
    ]


class Plan(TypedDict):
    """The steps; none while the run is unplanned and when it was refused."""

    steps: Annotated[list[Step], doc("In the order of execution.")]


class PlannedBy(TypedDict):
    """Who made the plan."""

    source: Annotated[Literal["llm", "pattern"], doc("A model, or the pattern planner.")]
    model: Annotated[str | None, doc("The model's name; null for the pattern planner.")]
    reason: Annotated[str, doc("Why it was this planner.")]
    complexity: Annotated[dict[str, Any] | None, doc("How complex the task was judged.")]


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


class Choice(TypedDict):
    """What a run was given to be planned with, beside its prompt."""

    model: Annotated[str | None, doc("The model to be asked; null: those that are configured.")]
    instructions: Annotated[
        str | None, doc("How the caller wants it planned; told to models after our rules.")
    ]
    tools: Annotated[
        list[str] | None, doc("The tools that its plans may use; null: all of the server.")
    ]


class Usage(TypedDict):
    """What planning took."""

    calls: Annotated[int, doc("Calls of a model.")]
    input_tokens: Annotated[int | None, doc("Tokens read; null when not known.")]
    output_tokens: Annotated[int | None, doc("Tokens written; null when not known.")]
    usd: Annotated[float | None, doc("Price in US dollars; null when not known, never 0.")]
    by_model: Annotated[dict[str, Any], doc("The same for each model.")]


# Which plans a person is asked about, and with what.


#: Which plans are executed only when a person has approved them: none, those that have a step whose
#: tool has effects, or all.
Approve = Literal["never", "effects", "always"]


class PlannedTool(TypedDict):
    """A tool that the plan uses."""

    tool: Annotated[str, doc("The tool.")]
    effects: Annotated[bool, doc("Whether a call changes something.")]
    steps: Annotated[list[int], doc("The steps that call it.")]
    scope: NotRequired[
        Annotated[
            list[str],
            Field(
                description="Which calls are about several things or all, and what these are; left "
                "out if none is.",
                json_schema_extra={"default": []},
            ),
        ]
    ]


class Approval(TypedDict):
    """What a person was asked about the plan; `marks` tell what was decided, and by whom."""

    asked_at: Annotated[Time, doc("Since when.")]
    expires_at: Annotated[Time, doc("Until when; then the run is cancelled.")]
    tools: Annotated[list[PlannedTool], doc("The tools of the plan as it was proposed.")]


class RequiredApproval(TypedDict):
    """That a person is to be asked about a plan before it is executed; `expires` in seconds."""

    tools: list[PlannedTool]
    expires: float
