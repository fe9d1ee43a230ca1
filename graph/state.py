"""What travels through the graph: plain JSON-like records, nothing else."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from langgraph.channels.delta import DeltaChannel
from typing_extensions import TypedDict

#: Version of the state's shape; written into every run.
STATE_VERSION = 1

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


class AttemptError(TypedDict):
    """Why one attempt failed, and whether another one may succeed."""

    type: str
    message: str
    retryable: bool


#: Which plans are executed only when a person has approved them: none, those that have a step whose
#: tool has effects, or all.
Approve = Literal["never", "effects", "always"]


class PlannedTool(TypedDict):
    """A tool that a plan uses, and in which steps; `effects`: whether a call changes something."""

    tool: str
    effects: bool
    steps: list[int]


class Approval(TypedDict):
    """What a person was asked about the plan, and until when; times in epoch seconds."""

    asked_at: float
    expires_at: float
    tools: list[PlannedTool]


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
    retry: NotRequired["Retry"]
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


class Limits(TypedDict):
    """The limits in force for one run; times in seconds, sizes in bytes."""

    step_timeout: float
    max_attempts: int
    backoff: float
    max_prompt: int
    max_steps: int
    max_output: int


class Budget(TypedDict):
    """What one run may spend on planning by models; null where nothing is said.

    `seconds` count from the start of its execution. `on_exceeded`: plan in the way that costs
    nothing, or fail.
    """

    usd: float | None
    tokens: int | None
    seconds: float | None
    steps: int | None
    on_exceeded: Literal["pattern", "fail"]


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


class Asks(TypedDict):
    """That a person is to be asked about a plan before it goes on; `expires` in seconds."""

    tools: list[PlannedTool]
    expires: float


class ForkedFrom(TypedDict):
    """The checkpoint that a run was forked from; it goes on with step `from_step`.

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
    asks: NotRequired[Asks]


class Retry(TypedDict):
    """What a retry was asked to do; the run goes on with step `from_step`.

    `from_step` is null where there is no plan yet: the run is planned again. `input` is the edited
    input of that step, `skip` the steps that are left out from now on, `ended` the end undone.
    `asks` is there where nobody has approved what the run goes on with.
    """

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    ended: Ending
    asks: NotRequired[Asks]


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


#: What holds where nobody says otherwise (Studio, notebooks).
DEFAULT_LIMITS = Limits(
    step_timeout=30.0,
    max_attempts=3,
    backoff=0.5,
    max_prompt=20_000,
    max_steps=100,
    max_output=256 * 1024,
)


class RunInput(TypedDict):
    """All that a person has to give."""

    prompt: str


class RunState(TypedDict, total=False):
    """The whole run. Everything in it survives a round trip through JSON unchanged.

    `approve` and `approval` are missing in runs that never ask: keys cost at every checkpoint.

    `paused`: seconds since `started_at` in which nothing executed it, while its process was down or
    others had all the slots. `skipped`: the steps that a retry leaves out.
    """

    version: int
    run_id: str
    prompt: str
    owner: str
    forked_from: ForkedFrom | None
    status: Status
    approve: Approve
    approval: Approval | None
    planned_by: PlannedBy | None
    plan: Plan
    plan_proposed: Plan | None
    cursor: int
    attempt: int
    not_before: float | None
    generation: int
    skipped: list[int]
    log: Annotated[list[Any], DeltaChannel(extend, snapshot_frequency=50)]
    planning: Planning | None
    planning_log: list[PlanningCall]
    limits: Limits
    budget: Budget | None
    usage: Usage
    result: Result | None
    error: RunError | None
    created_at: float
    started_at: float | None
    paused: float
    completed_at: float | None


def new_run(
    prompt: str,
    *,
    run_id: str,
    owner: str,
    limits: Limits,
    created_at: float,
    budget: Budget | None = None,
    approve: Approve = "never",
) -> RunState:
    """The state of a run that was accepted and not yet looked at; `log` starts empty by itself."""
    state = RunState(
        version=STATE_VERSION,
        run_id=run_id,
        prompt=prompt,
        owner=owner,
        forked_from=None,
        status="pending",
        planned_by=None,
        plan=Plan(steps=[]),
        plan_proposed=None,
        cursor=0,
        attempt=0,
        not_before=None,
        generation=0,
        skipped=[],
        planning=None,
        planning_log=[],
        limits=limits,
        budget=budget,
        usage=Usage(calls=0, input_tokens=0, output_tokens=0, usd=0.0, by_model={}),
        result=None,
        error=None,
        created_at=created_at,
        started_at=None,
        paused=0.0,
        completed_at=None,
    )
    if approve != "never":
        state["approve"] = approve
    return state


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
