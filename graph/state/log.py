"""What is logged of a run: attempts at its steps, and what came from outside.

Steps in doubt, of which nobody knows whether they acted, are read from it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID, uuid5

from typing_extensions import TypedDict

from graph.state.plan import (
    Approval,
    Plan,
    PlannedBy,
    PlannedTool,
    PlanningCall,
    RequiredApproval,
    Step,
    Usage,
)
from graph.state.status import Result, RunError, Status
from graph.state.wording import UNTOLD, Time, doc


class ForkedFrom(TypedDict):
    """The checkpoint that a run was forked from; it continues with step `from_step`.

    `from_step` is null where it is planned anew. `logged` and `planned` are the lengths that its
    logs have from there, `rounds` how many its plan has, `skip` the steps that were left out there.
    `asks` is there where nobody has approved what it continues with.
    """

    run_id: str
    checkpoint_id: str
    from_step: int | None
    skip: list[int]
    logged: int
    planned: int
    rounds: NotRequired[int]  # not in those of earlier versions
    asks: NotRequired[RequiredApproval]
    traceparent: NotRequired[str]  # that of its origin


class Ending(TypedDict):
    """An end that a retry has undone."""

    # What events tell of the end, and of everything before it, is read from here: the state itself
    # has gone on.
    status: Annotated[Status, doc("How the run stood.")]
    error: Annotated[RunError | None, doc("Why it did not complete.")]
    usage: Annotated[Usage, doc("What planning had taken by then.")]
    planned_by: Annotated[PlannedBy | None, doc("Who had planned it last.")]
    steps: Annotated[int, doc("Steps of its plan; 0 where it had none.")]
    rounds: NotRequired[  # not in those of earlier versions
        Annotated[int, doc("Rounds that its plan had been made in.")]
    ]
    planned: Annotated[int, doc("Entries of its planning log.")]
    generation: Annotated[int, doc("How often it had been retried before.")]
    started_at: Annotated[Time | None, doc("When it had been started last.")]
    completed_at: Annotated[Time | None, doc("When it had been settled.")]
    approval: NotRequired[Annotated[Approval | None, UNTOLD]]  # not in those of earlier versions
    plan: NotRequired[Annotated[Plan, UNTOLD]]  # where a person may replace it from here on
    result: NotRequired[  # of one that was incomplete
        Annotated[Result, doc("What had come out by then.")]
    ]


class Retry(TypedDict):
    """What a retry was asked to do."""

    from_step: Annotated[int | None, doc("The step it begins with; null: planned again.")]
    input: Annotated[dict[str, Any] | None, doc("The edited input of that step.")]
    skip: Annotated[list[int], doc("The steps that are left out from then on.")]
    generation: Annotated[int, doc("What the keys of its steps are made with.")]
    replan: NotRequired[  # where another plan was wanted
        Annotated[
            list[int],
            doc(
                "The steps that were dropped, since a model was to plan anew; missing where the "
                "plan was to be kept."
            ),
        ]
    ]
    ended: Annotated[Ending, doc("The end that it has undone.")]
    asks: NotRequired[Annotated[RequiredApproval, UNTOLD]]  # where nobody has approved that
    traceparent: NotRequired[Annotated[str, UNTOLD]]  # who called for it, in a trace of theirs


class AttemptError(TypedDict):
    """Why an attempt failed."""

    type: Annotated[str, doc("The class of the error.")]
    message: Annotated[str, doc("What went wrong, in words.")]
    retryable: Annotated[bool, doc("Whether another attempt may succeed.")]


class Attempt(TypedDict):
    """One execution of one step."""

    kind: Annotated[Literal["attempt"], UNTOLD]
    step: Annotated[int, doc("The step of the plan.")]
    tool: Annotated[str, doc("The tool that was called.")]
    input: Annotated[dict[str, Any], doc("What it was given, references resolved.")]
    attempt: Annotated[int, doc("Which attempt at the step, counted from 1.")]
    generation: Annotated[int, doc("How often finished steps were told to run again before.")]
    status: Annotated[
        Literal["ok", "error", "timeout", "cancelled", "in_doubt"],
        doc(
            "How it ended; `in_doubt`: nobody knows whether it acted, and `error` tells what is "
            "known."
        ),
    ]
    output: Annotated[Any, doc("What the tool returned; null unless `status` is `ok`.")]
    error: Annotated[AttemptError | None, doc("Why it failed.")]
    retry_at: Annotated[Time | None, doc("The earliest time of the next attempt.")]
    thread_running: Annotated[
        bool, doc("Whether the tool may still be running although its time was up.")
    ]
    may_have_acted: Annotated[
        bool | None,
        doc("Whether it may have changed something; null in records of earlier versions."),
    ]
    expires_at: NotRequired[  # of those about which a person is asked
        Annotated[
            Time | None,
            doc("With `in_doubt`: until when a person may say what became of it."),
        ]
    ]
    changed: NotRequired[
        Annotated[
            list[str],
            doc(
                "What the tool's server says otherwise since it was planned; missing where that is "
                "nothing, or somebody has approved it."
            ),
        ]
    ]
    started_at: Annotated[Time, doc("When it began.")]
    duration_ms: Annotated[float, doc("How long it took, or until it was found, in milliseconds.")]


#: What a person may say about an attempt that may have acted.
ResolvedAs = Literal["done", "redo", "skip", "fail"]


class Learned(TypedDict):
    """How a call ended that had been left to itself."""

    generation: Annotated[int, UNTOLD]
    step: Annotated[int, UNTOLD]
    attempt: Annotated[int, UNTOLD]
    ended: Annotated[Literal["returned", "raised"], doc("How it ended.")]
    detail: Annotated[str, doc("What it returned, as JSON, or raised; shortened.")]
    at: Annotated[Time, doc("When.")]


class Marked(TypedDict):
    """What every mark says."""

    what: Annotated[
        Literal[
            "taken_up",
            "cancel",
            "retry",
            "approved",
            "rejected",
            "expired",
            "in_doubt",
            "resolved",
            "changed",
        ],
        doc(
            "What happened; `taken_up` is the resumption after a restart, `in_doubt` that a person "
            "is asked again about an attempt before the retry, `changed` about the plan, since a "
            "server says something else of its tool."
        ),
    ]
    at: Annotated[Time, doc("When.")]
    by: Annotated[str, doc("Who did it.")]
    detail: Annotated[str | None, doc("What else there is to say about it.")]


#: `as` is a word of Python's own.
_As = TypedDict("_As", {"as": NotRequired[ResolvedAs]})


class Mark(Marked, _As):
    """Something that happened to the run from outside its steps; what it does not say, it lacks.

    `step` is the one that an answer is about, `output` what it is taken to have returned, `learned`
    how its call was known to have ended by then, `tools` what a person is asked about again.
    """

    kind: Literal["mark"]
    event: NotRequired[int]
    retry: NotRequired[Retry]
    steps: NotRequired[list[Step]]
    step: NotRequired[int]
    expires_at: NotRequired[float]
    output: NotRequired[Any]
    learned: NotRequired[Learned]
    tools: NotRequired[list[PlannedTool]]


def attempts(state: Mapping[str, Any]) -> list[Attempt]:
    """The attempts that the log of a state has, the first one first."""
    return [entry for entry in state.get("log", ()) if entry["kind"] == "attempt"]


def marks(state: Mapping[str, Any], *what: str) -> list[Mark]:
    """The marks that the log of a state has, or those of these kinds; the first one first."""
    found = [entry for entry in state.get("log", ()) if entry["kind"] == "mark"]
    return [mark for mark in found if mark["what"] in what] if what else found


def step_key(state: Mapping[str, Any], step: int, generation: int | None = None) -> str:
    """The idempotency key of a step: the same for every attempt and after every crash.

    It changes with `generation`, the run's of today unless it is given, when a person asks for a
    finished or edited step again.
    """
    number = state["generation"] if generation is None else generation
    return _key(state["run_id"], number, step)


@lru_cache(maxsize=4_096)  # a record says it of every attempt, each time that it is read
def _key(run_id: str, generation: int, step: int) -> str:
    return str(uuid5(UUID(run_id), f"{generation}:{step}"))


def ended_at(entry: Attempt | PlanningCall) -> float:
    """When an attempt or a call of a planner was over, in epoch seconds."""
    return entry["started_at"] + entry["duration_ms"] / 1000


def extend(log: list[Any], writes: Sequence[Any]) -> list[Any]:
    """Reducer of the append-only lists: pure, and the same however writes are batched.

    Who edits a state by hand may give the whole list back: of a write that begins with it, only
    the rest is new. What is no list is kept as an entry, for the nodes to say what is wrong.
    """
    whole = list(log)
    for write in writes:
        entries = write if isinstance(write, list) else [write]
        known = len(whole) if entries[: len(whole)] == whole else 0
        whole.extend(entries[known:])
    return whole


class Question(TypedDict):
    """What a person is asked about the latest attempt at a step; times in epoch seconds.

    `number` tells the questions of a run apart: a later one has a higher number.
    """

    number: int
    attempt: Attempt
    asked_at: float
    expires_at: float


def in_doubt(state: Mapping[str, Any], step: int) -> Attempt | None:
    """The attempt at a step that may have acted, as long as nobody said whether it did; else None.

    That the run was to fail by it, or nobody answered, does not say so.
    """
    for entry in reversed(state.get("log", ())):
        if entry.get("step") != step:
            continue
        if entry["kind"] == "attempt":
            return entry if entry["status"] == "in_doubt" else None
        if entry["what"] == "resolved" and entry["as"] != "fail":
            return None
    return None


def question_of(state: Mapping[str, Any]) -> Question | None:
    """What a waiting run asks about a step in doubt; None where it asks about its plan, or nothing.

    Nothing is logged while a run waits, so that the last entry tells.
    """
    log = state.get("log", ())
    if state["status"] != "waiting" or state.get("error") or not log:
        return None
    last: Any = log[-1]
    if last.get("what") != "in_doubt" and last.get("status") != "in_doubt":
        return None
    attempt = in_doubt(state, last["step"])
    expires_at = last.get("expires_at")
    if attempt is None or expires_at is None:
        return None
    asked_at = last["at"] if last["kind"] == "mark" else ended_at(last)
    return Question(number=len(log), attempt=attempt, asked_at=asked_at, expires_at=expires_at)


def outputs(state: Mapping[str, Any]) -> dict[int, Any]:
    """The output of each step that is done: of its latest attempt, or as a person said."""
    found: dict[int, Any] = {}
    for entry in state.get("log", ()):
        if entry.get("status") == "ok" or is_said_done(entry):
            found[entry["step"]] = entry.get("output")
    return found


def last_done(state: Mapping[str, Any]) -> tuple[Any, str] | None:
    """The output and the tool of the step that was done last; None where all were left out."""
    skipped = state.get("skipped", ())
    for entry in reversed(state.get("log", ())):
        done = entry.get("status") == "ok" or is_said_done(entry)
        if done and entry["step"] not in skipped:
            tool = entry.get("tool") or state["plan"]["steps"][entry["step"] - 1]["tool"]
            return entry.get("output"), tool
    return None


def is_said_done(entry: Attempt | Mark) -> bool:
    """Whether an entry of the log says that a step in doubt was done."""
    said: Any = entry
    return bool(said.get("what") == "resolved" and said["as"] == "done")


def learned_of(question: Question, learned: Learned | None) -> Learned | None:
    """What was learned, where it is about the attempt in question."""
    names = ("generation", "step", "attempt")
    attempt: Any = question["attempt"]
    about: Any = learned
    if about is None or any(about[name] != attempt[name] for name in names):
        return None
    return learned
