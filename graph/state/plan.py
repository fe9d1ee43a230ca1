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
    definition: NotRequired[
        Annotated[
            str,
            doc(
                "Hashes of what an MCP server said of the tool when it was planned; missing for "
                "others."
            ),
        ]
    ]


class PlannedBy(TypedDict):
    """Who made the plan."""

    source: Annotated[
        Literal["llm", "pattern", "caller"],
        doc("A model, the pattern planner, or the caller, who called a tool by itself."),
    ]
    model: Annotated[str | None, doc("The model's name; null where it was none.")]
    reason: Annotated[str, doc("Why it was this planner.")]
    complexity: Annotated[dict[str, Any] | None, doc("How complex the task was judged.")]


# Rounds: a model that has seen what steps returned plans on, or mends what has failed.


#: Why a round is planned: the task, what its steps returned, a step that failed for good, or a
#: person who asked for another plan.
Why = Literal["first", "look", "mend", "replan"]

#: What is to follow the steps of a round: the end, a look at what they returned, or nothing, since
#: the planner has given up.
Then = Literal["done", "look", "refuse"]


class Choice(TypedDict):
    """What a run was given to be planned with, beside its prompt."""

    model: Annotated[str | None, doc("The model to be asked; null: those that are configured.")]
    instructions: Annotated[
        str | None, doc("How the caller wants it planned; told to models after our rules.")
    ]
    tools: Annotated[
        list[str] | None, doc("The tools that its plans may use; null: all of the server.")
    ]
    # Only where they are said, and in none of earlier versions.
    answer: NotRequired[
        Annotated[
            bool, doc("Whether a model is to answer in words; left out: as the server does it.")
        ]
    ]
    result_schema: NotRequired[
        Annotated[
            dict[str, Any],
            doc("JSON Schema of the shape in which the answer is also given; left out for none."),
        ]
    ]


class StepFailure(TypedDict):
    """A step that failed for good, which a model is to mend."""

    step: Annotated[int, doc("The step of the plan.")]
    tool: Annotated[str, doc("The tool that it called.")]
    input: Annotated[Any, doc("What it was given.")]
    error: Annotated[Any, doc("Why it failed, as its attempt has it.")]


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
    definition: NotRequired[
        Annotated[
            str,
            Field(
                description="Hashes of what an MCP server says of the tool, for which an approval "
                "holds; left out for others.",
                json_schema_extra={"default": ""},
            ),
        ]
    ]
    changed: NotRequired[
        Annotated[
            list[str],
            Field(
                description="What its server says otherwise since somebody approved the plan, "
                "where the run waits because of that: `description`, `input_schema`, `effects`, "
                "`idempotent`.",
                json_schema_extra={"default": []},
            ),
        ]
    ]


class Approval(TypedDict):
    """What a person was asked about the plan; `marks` tell what was decided, and by whom."""

    asked_at: Annotated[Time, doc("Since when.")]
    expires_at: Annotated[Time, doc("Until when; then the run is cancelled.")]
    tools: Annotated[list[PlannedTool], doc("The tools of the plan as it was proposed.")]


class Round(TypedDict):
    """One planning of the run, and the steps that came of it."""

    round: Annotated[int, doc("Its number, counted from 1.")]
    why: Annotated[
        Why,
        doc(
            "Why it was planned: `first` for the task, `look` since a model was to see what steps "
            "returned, `mend` since a step failed for good, `replan` since a person asked for it."
        ),
    ]
    first: Annotated[int, doc("Its first step.")]
    last: Annotated[int, doc("Its last step; before `first` where it has none.")]
    then: Annotated[
        Then | None,
        doc(
            "What follows its steps: `done` the end, `look` the next round; `refuse`: the planner "
            "has given up; null while it is planned, and where no plan came of it."
        ),
    ]
    proposed: Annotated[
        list[Step] | None, doc("Its steps as they were planned, if somebody has edited them.")
    ]
    proposed_then: NotRequired[
        Annotated[Then | None, doc("What was to follow them, where a person has changed that.")]
    ]
    dropped: Annotated[
        list[Step],
        doc("Its steps that a later round is made instead of: they are not executed."),
    ]
    planned_by: Annotated[PlannedBy | None, doc("Who planned it.")]
    approval: Annotated[Approval | None, doc("What a person was asked about it.")]
    calls: Annotated[
        list[int], doc("`[from, to]`: the entries of `planning_log` by which it was planned.")
    ]
    at: Annotated[Time, doc("Since when it was planned.")]
    # Left out where nobody has approved it, and in those of earlier versions.
    approved: NotRequired[Annotated[str, doc("A digest of the calls that a person has approved.")]]


class Plan(TypedDict):
    """The steps; none while the run is unplanned and when it was refused."""

    steps: Annotated[list[Step], doc("In the order of execution, those of all rounds.")]
    rounds: NotRequired[  # not in those of earlier versions, nor in parts of plans
        Annotated[list[Round], doc("The rounds that they were planned in, oldest first.")]
    ]


class EditedPlan(TypedDict):
    """What a person wants to be executed instead; `then` is left out where nothing follows."""

    steps: list[Step]
    then: NotRequired[Literal["look"]]


# Planning by models: how far it is, and what it has cost.


class Planning(TypedDict):
    """Where planning by models stands between two calls; null before and after.

    `prompt` is what it is about: another one on the thread is a new run. `queue` holds the models
    still to be asked, the current one first. `reasons` are what was wrong with its last `answer`,
    which it may repair once; `retried` says that a passing failure of it was tried again.
    `not_before` is the earliest time of the next call, in epoch seconds. `waited`: seconds that the
    run was told to wait for its models so far. `round` is the number of the round that is planned,
    `why` the reason for it, and `failure` what a round to mend is about. Entries of earlier
    versions lack these four.
    """

    prompt: str
    queue: list[str]
    answer: str
    reasons: list[str]
    retried: bool
    not_before: float | None
    waited: NotRequired[float]
    round: NotRequired[int]
    why: NotRequired[Why]
    failure: NotRequired[StepFailure | None]


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


class RequiredApproval(TypedDict):
    """That a person is to be asked about a plan before it is executed; `expires` in seconds."""

    tools: list[PlannedTool]
    expires: float
