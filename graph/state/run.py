"""The state of a run: how a new one begins, what it may take, and the graph's channels.

Nodes, records and other readers of a run have it whole, as `RunState`; LangGraph has a channel for
each part that people read and edit, and one for everything else. Each costs at every super-step,
whether it was written or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, cast

from langgraph.channels.delta import DeltaChannel
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from graph.state.log import ForkedFrom, attempts, extend, marks
from graph.state.plan import (
    Approval,
    Approve,
    Choice,
    Plan,
    PlannedBy,
    Planning,
    PlanningCall,
    Usage,
)
from graph.state.rounds import rounds_of
from graph.state.status import SETTLED, SETTLED_OR_WAITING, Result, RunError, Status
from graph.state.wording import doc


class Limits(TypedDict):
    """The limits in force for the run."""

    step_timeout: Annotated[float, doc("Longest time of one attempt, in seconds.")]
    max_attempts: Annotated[int, doc("Most attempts at one step.")]
    backoff: Annotated[float, doc("Wait before the second attempt, in seconds; it doubles.")]
    max_prompt: Annotated[int, doc("Longest prompt, in characters.")]
    max_steps: Annotated[int, doc("Most steps of a plan.")]
    max_output: Annotated[int, doc("Largest output of a step, in bytes.")]
    # Those of earlier versions have neither: their runs are planned once.
    max_rounds: NotRequired[
        Annotated[int, doc("Most rounds of planning, those that mend not counted.")]
    ]
    mend: NotRequired[
        Annotated[int, doc("How often a model may plan on after a step that failed for good.")]
    ]


class Budget(TypedDict):
    """What the run may spend on planning by models."""

    usd: Annotated[float | None, doc("US dollars.")]
    tokens: Annotated[int | None, doc("Tokens, read and written.")]
    seconds: Annotated[float | None, doc("Seconds from the start of its execution.")]
    steps: Annotated[int | None, doc("Steps of its plan.")]
    on_exceeded: Annotated[
        Literal["pattern", "fail"],
        doc("`pattern`: plan in the way that costs nothing; `fail`: end the run."),
    ]


#: What holds where nobody says otherwise (Studio, notebooks).
DEFAULT_LIMITS = Limits(
    step_timeout=30.0,
    max_attempts=3,
    backoff=0.5,
    max_prompt=20_000,
    max_steps=100,
    max_output=256 * 1024,
    max_rounds=5,
    mend=1,
)

#: Most bytes of inputs and outputs that the attempts of one run keep.
MOST_KEPT = 4 * 1024 * 1024

#: Version of the state's shape; written into every run.
STATE_VERSION = 2


class Turn(TypedDict):
    """An earlier run of the thread, as later ones see it."""

    run_id: Annotated[str, doc("The run.")]
    prompt: Annotated[str, doc("What was asked; what is long is cut, and says so.")]
    status: Annotated[Status, doc("How it ended.")]
    text: Annotated[
        str,
        doc(
            "Its answer in words with its summary below, else its summary, else why it failed; "
            "what is long is cut."
        ),
    ]
    source: Annotated[Literal["answer", "summary", "error"], doc("Which of them `text` is.")]


class Referent(TypedDict):
    """What "it" and "that" can mean: what the last run of the thread has returned."""

    run_id: Annotated[str, doc("The run that returned it.")]
    tool: Annotated[str, doc("The tool whose output it is.")]
    output: Annotated[Any, doc("The output, as that run recorded it.")]


class Conversation(TypedDict):
    """The thread's earlier runs, oldest first; what is too long is left out, oldest first.

    It is fixed when the run begins: a retry, and a later run that is retried, keep what they had.
    """

    turns: Annotated[list[Turn], doc("The earlier runs, oldest first.")]
    left_out: Annotated[int, doc("How many still earlier ones were left out, to keep it short.")]
    last: Annotated[
        Referent | None,
        doc(
            "What the last of them returned; null where it is nothing, one of several, or too big."
        ),
    ]


#: The conversation of a run that is the first of its thread.
NOTHING_BEFORE = Conversation(turns=[], left_out=0, last=None)


class RunInput(TypedDict):
    """All that a person has to give."""

    prompt: str


class RunDetails(TypedDict, total=False):
    """What is known of a run beside its prompt, plan, log and result.

    `kept`: bytes of the inputs and outputs of all attempts, missing where all are small.
    `approve` and `approval` are missing in runs that never ask, `choice` and `metadata` in those
    that were given none: keys cost at every checkpoint. So is `thread_id` in a run that is a
    thread of its own. `asked`: the prompt, of runs that are begun by hand: the next prompt on
    their thread replaces it before a node sees it.

    `paused`: seconds since `started_at` in which nothing executed it, while its process was down or
    others had all the slots. `skipped`: the steps that a retry leaves out.
    """

    version: int
    run_id: str
    owner: str
    forked_from: ForkedFrom | None
    status: Status
    approve: Approve
    approval: Approval | None
    choice: Choice | None
    metadata: dict[str, str]
    thread_id: str
    asked: str
    planned_by: PlannedBy | None
    plan_proposed: Plan | None
    cursor: int
    attempt: int
    not_before: float | None
    generation: int
    skipped: list[int]
    kept: int
    planning: Planning | None
    planning_log: list[PlanningCall]
    limits: Limits
    budget: Budget | None
    usage: Usage
    error: RunError | None
    created_at: float
    started_at: float | None
    paused: float
    completed_at: float | None
    posted_by: str  # who posted or forked it; missing where nobody said so
    traceparent: str  # who called for it, in a trace of theirs; missing where nobody said so


class RunState(RunDetails, total=False):
    """The whole run. Everything in it survives a round trip through JSON unchanged."""

    prompt: str
    plan: Plan
    log: list[Any]
    result: Result | None
    conversation: Conversation  # missing where nothing went before


def new_run(
    prompt: str,
    *,
    run_id: str,
    owner: str,
    limits: Limits,
    created_at: float,
    budget: Budget | None = None,
    approve: Approve = "never",
    choice: Choice | None = None,
    metadata: dict[str, str] | None = None,
    thread_id: str | None = None,
    posted_by: str | None = None,
    traceparent: str | None = None,
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
    if choice:
        state["choice"] = choice
    if metadata:
        state["metadata"] = metadata
    if thread_id is not None and thread_id != run_id:
        state["thread_id"] = thread_id
    if posted_by:
        state["posted_by"] = posted_by
    if traceparent:
        state["traceparent"] = traceparent
    return state


def merged(details: Any, changes: Any) -> Any:
    """Reducer of `run`: what is written changes, everything else stays.

    What is no mapping is kept as it is, for the nodes to say what is wrong.
    """
    if not isinstance(changes, dict) or not isinstance(details, dict):
        return changes
    return {**details, **changes}


class Channels(TypedDict, total=False):
    """The state of the graph.

    The log is stored as what each checkpoint adds, and whole at every hundredth and at the end.
    What went before in a thread is a channel, since it may be long and never changes.
    """

    prompt: str
    plan: Plan
    log: Annotated[list[Any], DeltaChannel(extend, snapshot_frequency=100)]
    result: Result | None
    conversation: Conversation
    run: Annotated[RunDetails, merged]


#: The fields of a run that are channels of their own.
OWN = ("prompt", "plan", "log", "result", "conversation")

#: Those that are in `run`.
DETAILS = frozenset(RunDetails.__annotations__)


def whole(channels: Mapping[str, Any]) -> RunState:
    """The run that is in the channels; what they do not hold, it lacks."""
    details = channels.get("run")
    own = {name: channels[name] for name in OWN if name in channels}
    return cast("RunState", {**details, **own} if isinstance(details, dict) else own)


def split(update: Mapping[str, Any]) -> dict[str, Any]:
    """A run, or an update of one, as it is written to the channels."""
    written = {name: update[name] for name in OWN if name in update}
    details = {name: value for name, value in update.items() if name not in OWN}
    return {**written, "run": details} if details else written


def logged(log: list[Any], writes: Sequence[Any]) -> list[Any]:
    """A log after what nodes have written to it in one super-step, as its channel has it then."""
    for write in writes:
        if isinstance(write, Overwrite):
            return list(write.value)
    return extend(log, writes)


# What a run may take, and what it wants of a model at its end.


def limits_of(state: RunState) -> Limits:
    """The run's limits, its steps bounded by its budget as well."""
    budget = state.get("budget")
    if budget is None or budget["steps"] is None:
        return state["limits"]
    return {**state["limits"], "max_steps": min(budget["steps"], state["limits"]["max_steps"])}


#: Whether a model answers in words at the end of a run that does not say so itself: where a model
#: has planned it, or never.
AnswerPolicy = Literal["auto", "never"]


def answer_wanted(state: RunState, policy: AnswerPolicy) -> bool:
    """Whether a model is to answer in words: as the run was told, else as the server does it."""
    choice = state.get("choice")
    if choice and "answer" in choice:
        return choice["answer"]
    if schema_of(state) is not None:
        return True
    by = state["planned_by"]
    return policy == "auto" and by is not None and by["source"] == "llm"


def schema_of(state: RunState) -> dict[str, Any] | None:
    """The JSON Schema of the shape in which the answer is given as well; None where it is not."""
    choice = state.get("choice")
    return choice.get("result_schema") if choice else None


def next_attempt(state: RunState) -> float | None:
    """When the attempt, or call of a model, is due that a run waits for, in epoch seconds."""
    planning = state.get("planning")
    return state["not_before"] or (planning and planning["not_before"]) or None


def without_wait(state: RunState) -> RunState:
    """A state as it is once its next attempt, or call of a model, is waited for no more."""
    planning = state.get("planning")
    planning = planning and {**planning, "not_before": None}
    return {**state, "not_before": None, "planning": planning}


# What a list shows of it.


Planner = Literal["llm", "pattern", "caller"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run's course as it was when its status was last written; null is not known.

    `tools` are those that it called and, while it is not settled, those that its plan calls. `usd`
    is what its planning cost, known once it is settled or waits. `retries`, `taken_up` and `rounds`
    count.
    """

    planner: Planner | None = None
    model: str | None = None
    tools: tuple[str, ...] = ()
    usd: float | None = None
    retries: int = 0
    taken_up: int = 0
    rounds: int = 0


#: Of a run that nobody has looked at.
NO_FACTS = Facts()


def facts_of(state: RunState) -> Facts:
    """The facts that a state holds."""
    made, planned_by = attempts(state), state["planned_by"]
    tools = [attempt["tool"] for attempt in made]
    if state["status"] not in SETTLED:
        tools += [step["tool"] for step in state["plan"]["steps"]]
    return Facts(
        planner=planned_by["source"] if planned_by else None,
        model=planned_by["model"] if planned_by else None,
        tools=tuple(dict.fromkeys(tools)),
        usd=state["usage"]["usd"] if state["status"] in SETTLED_OR_WAITING else None,
        retries=sum(attempt["attempt"] > 1 for attempt in made),
        rounds=len(rounds_of(state)),
        taken_up=len(marks(state, "taken_up")),
    )
