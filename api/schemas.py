"""What goes in and out besides the record of a run."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.errors.kinds import FieldError
from graph.runs.accept import (
    LONGEST_INSTRUCTIONS,
    LONGEST_VALUE,
    LONGEST_WEBHOOK,
    METADATA_KEY,
    MOST_PAIRS,
    RunOptions,
)
from graph.state import Approve, Budget, Status
from graph.storage.records import LONGEST_THREAD_NAME, THREAD_NAME
from nodes.contract.steps import UNSTORABLE
from tools.toolbox import InDoubt

#: So many faults of a body are told: to tell each of ten thousand takes a hundred times as long as
#: to find them.
MOST_FAULTS = 100


class Body(BaseModel):
    """Base of request bodies: types are not coerced, and an unknown field is refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _bound_faults(cls, data: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return check(data)
        except ValidationError as invalid:
            if (count := invalid.error_count()) <= MOST_FAULTS:
                raise
        raise PydanticCustomError(
            "too_many_faults", "has {count} faults, too many to tell each", {"count": count}
        )

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, data: Any) -> Any:
        # Ahead of `extra="forbid"`, whose message cannot say which fields there are.
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in data if isinstance(data, dict) else ():
            if name not in known:
                raise PydanticCustomError(
                    "unknown_field",
                    "has the unknown field {name}; its fields are: {known}",
                    {"name": repr(name[:60]), "known": ", ".join(known) or "none"},
                )
        return data


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("null_character", "must not hold the null character U+0000")
    if half := UNSTORABLE.search(text):  # JSON can escape one
        raise PydanticCustomError(
            "lone_surrogate",
            "holds half of a surrogate pair at character {place}; send whole characters",
            {"place": half.start() + 1},
        )
    return text


#: Not blank, without U+0000: told in the description, checked with clearer words elsewhere.
_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"

Text = Annotated[str, AfterValidator(_storable)]

#: Text, perhaps blank, with that check in its description.
Words = Annotated[Text, Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]


def whole(number: Any) -> Any:
    """A number that is whole in whatever form as an integer, everything else as it is."""
    # JSON has one kind of number: 2.0 is as whole as 2.
    return int(number) if isinstance(number, float) and number.is_integer() else number


#: Longest name of a model or a tool, in characters, and most tools that are named.
LONGEST_NAME, MOST_TOOLS = 200, 1_000

Name = Annotated[Words, Field(min_length=1, max_length=LONGEST_NAME)]

#: Text by names of the caller's own.
Metadata = Annotated[
    dict[
        Annotated[str, Field(pattern=METADATA_KEY)],
        Annotated[Words, Field(max_length=LONGEST_VALUE)],
    ],
    # What a key is not, no other property may be.
    Field(max_length=MOST_PAIRS, json_schema_extra={"additionalProperties": False}),
]

#: What a thread is called; blanks at its ends would make two names that look alike.
ThreadName = Annotated[
    Text,
    Field(min_length=1, max_length=LONGEST_THREAD_NAME, pattern=THREAD_NAME),
]

Tokens = Annotated[int, Field(ge=0, le=10**12), BeforeValidator(whole)]
Steps = Annotated[int, Field(ge=1, le=10**6), BeforeValidator(whole)]
Mends = Annotated[int, Field(ge=0, le=10**6), BeforeValidator(whole)]


class BudgetCreate(Body):
    """What a run may spend on planning by models; what is left out is not limited."""

    usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="US dollars.")
    tokens: Tokens | None = Field(None, description="Tokens, read and written.")
    seconds: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Seconds from the start of its execution."
    )
    steps: Steps | None = Field(None, description="Steps of its plan.")
    on_exceeded: Literal["pattern", "fail"] = Field(
        "pattern",
        description="`pattern`: plan in the way that costs nothing; `fail`: end the run.",
    )


class Task(Body):
    """A task in plain words."""

    prompt: Text = Field(
        description="What to do; up to 20,000 characters unless configured otherwise. "
        "It is kept exactly as sent.",
        json_schema_extra={"minLength": 1, "pattern": _NOT_BLANK},
        examples=["Add a todo to buy milk, then show me all my tasks"],
    )
    budget: BudgetCreate | None = Field(
        None, description="What the run may spend on planning by models."
    )

    model: Name | None = Field(
        None,
        description="The model that plans it, one of those configured (RUNWRIGHT_MODELS); no other "
        "is asked then.",
    )
    instructions: Words | None = Field(
        None,
        max_length=LONGEST_INSTRUCTIONS,
        description="How it is to be planned, for models: told to them after our rules, as the "
        "caller's. The pattern planner reads the prompt alone.",
    )
    tools: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=MOST_TOOLS,
        description="The tools that its plans may use, by name; all of the server without it.",
    )

    def plain_budget(self) -> Budget | None:
        """The budget as runs keep it."""
        return cast("Budget | None", self.budget and self.budget.model_dump())

    def options(self) -> RunOptions:
        """What else it is given, still to be checked."""
        return RunOptions(model=self.model, instructions=self.instructions, tools=self.tools)


class RunCreate(Task):
    """A task in plain words, to be planned and executed."""

    mode: Literal["execute", "plan"] = Field(
        "execute",
        description="`plan`: rest after planning, in the status `waiting`, until somebody approves "
        "the plan; `execute`: go on, unless the server asks for approval (RUNWRIGHT_APPROVE).",
    )

    max_rounds: Steps | None = Field(
        None,
        description="Most rounds of planning by models, not more than RUNWRIGHT_MAX_ROUNDS; 1: "
        "nothing is planned after a look at what steps returned.",
    )
    mend: Mends | None = Field(
        None,
        description="How often a model may plan another way after a step that failed for good, not "
        "more than RUNWRIGHT_MEND.",
    )

    answer: bool | None = Field(
        None,
        description="Whether a model answers in words at the end; without it as the server does "
        "(RUNWRIGHT_ANSWER).",
    )
    result_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema, up to 8,000 characters, of a shape in which the answer is given "
        "as well.",
    )

    webhook: Words | None = Field(
        None,
        max_length=LONGEST_WEBHOOK,
        description="Where its end, and that it waits for a person, is posted as well; at a host "
        "of RUNWRIGHT_WEBHOOKS.",
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Names and values of the caller's own, to find the run by.",
    )
    thread_id: Name | None = Field(
        None,
        description="The thread that it goes on with: it begins when the runs before it have "
        "ended, and a model sees what was asked and came out. Without it, it begins a thread.",
    )
    thread_name: ThreadName | None = Field(
        None,
        description="The same by the thread's name; where the caller has none of that name, the "
        "run begins it.",
    )

    @model_validator(mode="after")
    def _check_thread(self) -> "RunCreate":
        if self.thread_id is not None and self.thread_name is not None:
            raise PydanticCustomError("thread", "thread_id and thread_name: give one of them")
        return self

    def options(self) -> RunOptions:
        """What else it is given, still to be checked."""
        return replace(
            super().options(),
            answer=self.answer,
            result_schema=self.result_schema,
            webhook=self.webhook,
            metadata=self.metadata,
        )

    @property
    def approve(self) -> Approve | None:
        """Whether this run waits after planning; None: as all of the server."""
        return "always" if self.mode == "plan" else None


class CancelCreate(Body):
    """Nothing: a cancellation takes no options."""


class RunCreated(BaseModel):
    """An accepted run: it is on disk and will be settled, whatever happens to the server."""

    run_id: str = Field(description="The id to read the run by, at `GET /runs/{run_id}`.")
    status: Status = Field(description="Where the run stands; planning is not waited for.")


class ToolView(BaseModel):
    """A tool that plans may use."""

    name: str = Field(description="What a plan calls it by.")
    description: str = Field(description="What it does, as planners read it.")
    input_schema: dict[str, Any] = Field(description="JSON Schema of its input.")
    effects: bool = Field(description="Whether a call changes something.")
    idempotent: bool = Field(
        description="Whether a further call with the same step key has no second effect."
    )
    in_doubt: InDoubt | None = Field(
        description="What becomes of a step that may have acted; null: as everywhere "
        "(RUNWRIGHT_IN_DOUBT)."
    )
    repeatable: bool = Field(
        description="The former name of `idempotent`; the next version does not have it.",
        deprecated=True,
    )
    timeout: float | None = Field(
        description="Longest time of an attempt, in seconds; null where the run's limit holds."
    )
    attempts: int | None = Field(
        description="Most attempts at a step; null where the run's limit holds."
    )
    server: str | None = Field(description="The MCP server that has it; null for all others.")
    builtin: bool = Field(description="Whether it comes with Runwright.")


class ToolList(BaseModel):
    """Every tool, in the order of registration."""

    tools: list[ToolView] = Field(description="The tools.")


class Alive(BaseModel):
    """The server answers."""

    status: str = Field(description="`ok`.", examples=["ok"])


class Health(Alive):
    """The server and its storage."""

    status: str = Field(
        description="`ok`, or `degraded` while storage cannot be read or written or the server is "
        "starting or stopping.",
        examples=["ok", "degraded"],
    )
    version: str = Field(description="Version of the server.")
    storage: dict[str, Any] = Field(
        description="`backend`; `writable`: whether all that runs need can be read and written; "
        "`damage`, only where the database is damaged: what is to be done. Without a key where "
        "there are keys only its `status`, `ok` or `degraded`.",
        examples=[{"backend": "sqlite", "writable": True}],
    )
    models: dict[str, Any] = Field(
        description="Each configured model: `ok`, `open` while it is left alone after failures, or "
        "`misconfigured`, with the last error's class; and how many `calls` for the caller are "
        "under way, and how many are `queued` for their turn.",
        examples=[
            {
                "openai/gpt-5-mini": {
                    "state": "ok",
                    "until": None,
                    "error_class": None,
                    "calls": 3,
                    "queued": 0,
                }
            }
        ],
    )
    servers: dict[str, Any] = Field(
        description="Each MCP server: its `state` (`connecting`, `ready`, `reconnecting` or "
        "`missing`) with the `reason` where it is not ready, the revision of the `protocol`, how "
        "many `tools` of it there are, and what of it is `left_out`, and why.",
        examples=[
            {
                "time": {
                    "state": "ready",
                    "reason": None,
                    "protocol": "2026-07-28",
                    "tools": 2,
                    "left_out": [],
                }
            }
        ],
    )
    runs: dict[str, Any] = Field(
        description="Runs of the caller: `in_flight` are begun, of which `executing` compute now "
        "and the others wait for a model, a tool or their turn; `queued` are not begun; `backoff` "
        "wait for a further attempt; with the most that all callers may have in flight and "
        "executing. Empty without a key where there are keys.",
        examples=[
            {
                "in_flight": 3,
                "executing": 1,
                "queued": 0,
                "backoff": 0,
                "max_in_flight": 1000,
                "max_executing": 24,
            }
        ],
    )


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="What kind of problem it is: a stable URI to branch on.")
    title: str = Field(description="The kind of problem in words; the same for all of a kind.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong this time, and what would be right.")
    instance: str | None = Field(
        None, description="With status 500: the error's id, which the server's log explains."
    )
    errors: list[FieldError] | None = Field(
        None, description="With status 400: the faults, field by field."
    )
