"""A run as a row: the request until there is a first checkpoint, then what a list shows.

Beside it lie the orders about a run that are stored before they are carried out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from graph.state import (
    Approve,
    Budget,
    Choice,
    EditedPlan,
    Learned,
    Limits,
    RequiredApproval,
    ResolvedAs,
    RunState,
    Status,
    attempts,
    marks,
    new_run,
    question_of,
)
from graph.state.rounds import approval_of, asked_about, rounds_of
from graph.state.status import SETTLED, SETTLED_OR_WAITING

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


class ApprovalAnswer(TypedDict):
    """One decision, stored before it is carried out; `at` in epoch seconds.

    `plan` is what is to be executed instead of the plan that was proposed, if it was edited.
    `question` is the number of the question, where it is about a later round.
    """

    what: Literal["approved", "rejected", "expired"]
    at: float
    by: str
    reason: str | None
    plan: EditedPlan | None
    question: NotRequired[int]


_DoubtAnswer = TypedDict("_DoubtAnswer", {"as": ResolvedAs})


class DoubtAnswer(_DoubtAnswer):
    """One decision about a step in doubt, stored before it is carried out; `at` in epoch seconds.

    `question` is the number of the question that it answers, `output` what a step that is said to
    be done has returned, `learned` how its call was known to have ended.
    """

    what: Literal["resolved", "expired"]
    question: int
    output: Any
    at: float
    by: str
    learned: Learned | None


class RetryCommand(TypedDict):
    """A checked request, as it is kept until the run's state has taken it over."""

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    by: str
    at: float
    replan: NotRequired[list[int]]  # the steps that are dropped, where another plan is wanted
    asks: NotRequired[RequiredApproval]
    traceparent: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in the index; times in epoch seconds.

    `cancel_at` and `cancel_by` say that somebody asked for its cancellation, whatever came of it.
    `starts` counts how often in a row it was started with `checkpoint_id` as its latest checkpoint,
    so that a run which kills its process is not started for ever. `approval_answer` is what was
    decided about its plan or a step in doubt, `expires_at` until when that may be done. `question`
    is the number of what it asks about a step in doubt or a later round, or has asked last;
    `learned` how a call ended that it had left to itself. `generation` counts how often it was
    retried, and `retry` is the last command to do so. `choice` and `metadata` are what it was given
    beside its prompt, None for nothing. A fork has the id of its origin in
    `forked_from`, and until it is begun the state that it begins with in `seed`. `posted_by` is who
    posted or forked it, None where that is its owner; `traceparent` where that was in a trace of
    theirs, as W3C has it. `webhook` is where
    its end is posted, beside the places that are told of all runs. `thread_id` is the thread that
    it continues, None where it begins one; `thread_name` is how a new one names the thread,
    which it begins where its owner has none of that name. One that is to be `alone` is accepted
    only while every run of its thread has ended.
    """

    run_id: str
    owner: str
    prompt: str
    limits: Limits
    created_at: float
    budget: Budget | None = None
    status: Status = "pending"
    started_at: float | None = None
    completed_at: float | None = None
    starts: int = 1
    checkpoint_id: str | None = None
    cancel_at: float | None = None
    cancel_by: str | None = None
    approve: Approve = "never"
    expires_at: float | None = None
    question: int | None = None
    approval_answer: ApprovalAnswer | DoubtAnswer | None = None
    learned: Learned | None = None
    generation: int = 0
    retry: RetryCommand | None = None
    choice: Choice | None = None
    metadata: dict[str, str] | None = None
    forked_from: str | None = None
    seed: RunState | None = None
    posted_by: str | None = None
    traceparent: str | None = None
    webhook: str | None = None
    thread_id: str | None = None
    thread_name: str | None = None
    alone: bool = False
    facts: Facts = NO_FACTS

    @property
    def thread(self) -> str:
        """The thread that it belongs to: its own where it names none."""
        return self.thread_id or self.run_id


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


def expiry_of(state: RunState) -> tuple[float, int | None] | None:
    """Until when it may be decided about a run that waits, in epoch seconds; None of any other.

    With the number of the question, where it is not about the plan that the run began with.
    """
    if question := question_of(state):
        return question["expires_at"], question["number"]
    approval = approval_of(state)
    if approval and state["status"] == "waiting":
        return approval["expires_at"], asked_about(state)
    return None


#: How long a key stands for its first request, in seconds.
KEPT = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """What a client calls one request of its own; `fingerprint` tells what the request holds."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class KeyedRun:
    """The run that the first request with a key has made; its place in the queue, if just now."""

    run_id: str
    fingerprint: str
    position: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Accepted:
    """That a run was stored; its place in the queue, counted from 1, where that is known by it."""

    position: int | None = None


@dataclass(frozen=True)
class Kept:
    """What is kept of one owner: runs, and the bytes of their requests, checkpoints and writes.

    The bytes of a run are counted where it stops; until then they are those of its request.
    """

    runs: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Quota:
    """The most that may be kept of one owner, and of forks of one run; 0 is no limit.

    `posts` are those of an owner in a minute, which are counted where the run is stored, unless 0.
    """

    runs: int = 0
    bytes: int = 0
    forks: int = 0
    posts: int = 0

    def is_reached(self, kept: Kept) -> bool:
        """Whether no further run of the owner may be kept."""
        return 0 < self.runs <= kept.runs or 0 < self.bytes <= kept.bytes


#: No limit at all.
NO_QUOTA = Quota()


@dataclass(frozen=True)
class RunArtifacts:
    """What is kept of one run under other names than its own: the receipts of its steps,
    and the namespaces of the store that these are in.

    `generation`: how often it was retried by then.
    """

    run_id: str
    generation: int
    receipts: Sequence[tuple[str, str]]
    step_keys: Sequence[str]


def state_of(row: RunRow) -> RunState:
    """The state that an accepted request begins with."""
    if row.seed is not None:
        return row.seed if row.posted_by is None else {**row.seed, "posted_by": row.posted_by}
    return new_run(
        row.prompt,
        run_id=row.run_id,
        owner=row.owner,
        limits=row.limits,
        budget=row.budget,
        approve=row.approve,
        choice=row.choice,
        metadata=row.metadata,
        created_at=row.created_at,
        thread_id=row.thread_id,
        posted_by=row.posted_by,
        traceparent=row.traceparent,
    )
