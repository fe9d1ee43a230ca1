"""A plan: the tool calls that a run makes, who thought of them, and the calls of planners."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema
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


#: What comes of a call of a planner.
Outcome = Literal[
    "planned", "finished", "answered", "empty", "refused", "rejected", "failed", "skipped"
]


class PlanningCall(TypedDict):
    """One call of a planner."""

    planner: Annotated[Literal["llm", "pattern"], doc("Which planner was called.")]
    model: Annotated[str | None, doc("The model; null for the pattern planner.")]
    outcome: Annotated[
        Outcome,
        WithJsonSchema({"type": "string"}, mode="serialization"),  # there may be more
        doc("What came of it."),
    ]
    error_class: Annotated[str | None, doc("Why it failed or was skipped.")]
    transient: Annotated[bool | None, doc("Whether that failure may pass by itself.")]
    reasons: Annotated[list[str], doc("Why the answer was rejected, or more about the failure.")]
    started_at: Annotated[Time, doc("When it began.")]
    duration_ms: Annotated[float, doc("How long it took, in milliseconds.")]
    input_tokens: Annotated[int | None, doc("Tokens read; null where there are none.")]
    output_tokens: Annotated[int | None, doc("Tokens written; null where there are none.")]
    usd: Annotated[float | None, doc("Its price in US dollars; null when not known.")]
    rejected_plan: NotRequired[  # not in those of earlier versions
        Annotated[
            Plan | None, doc("The plan that failed its check, unless it is too large to be kept.")
        ]
    ]
    round: NotRequired[Annotated[int, doc("The round that it was about.")]]
    purpose: NotRequired[
        Annotated[Literal["plan", "answer"], doc("What was asked for: a plan, or an answer.")]
    ]
    left_out: NotRequired[
        Annotated[
            int,
            doc(
                "How many outputs of steps it was not shown, the oldest ones, since all would have "
                "been too long; missing where it was shown all."
            ),
        ]
    ]
    cached_tokens: NotRequired[
        Annotated[
            int,
            doc(
                "Tokens of those read that the provider had in a cache; missing where it does not "
                "tell."
            ),
        ]
    ]
    raw: NotRequired[
        Annotated[
            str,
            doc("The answer as it came, cut after 32 kB; missing where none came."),
        ]
    ]
    finish_reason: NotRequired[
        Annotated[str, doc("Why the answer ended; missing where it is whole, or none came.")]
    ]
    asked: NotRequired[
        Annotated[
            str,
            doc(
                "A digest of the messages that the model was asked with; missing where it was not, "
                "and in records of earlier versions."
            ),
        ]
    ]
    shortlist: NotRequired[
        Annotated[
            list[str],
            doc("The tools that the model was told of; missing where these were all."),
        ]
    ]
    queued_ms: NotRequired[
        Annotated[
            float,
            doc(
                "How long it waited before it began, in milliseconds, since as many calls of the "
                "model were under way as may be; missing where it did not wait."
            ),
        ]
    ]
