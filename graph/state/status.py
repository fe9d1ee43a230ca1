"""How a run stands, what it may become, and what it has come to: a result, or an error."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NotRequired, get_args

from typing_extensions import TypedDict

from graph.state.plan import Plan, Span
from graph.state.wording import doc

Status = Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]

STATUSES: tuple[Status, ...] = get_args(Status)

ErrorType = Literal[
    "not_understood",
    "planning_failed",
    "plan_rejected",
    "step_failed",
    "incomplete",
    "budget_exceeded",
    "rejected",
    "cancelled",
    "internal",
]


#: Why a run that had done something left the rest: the rounds that it may have were over, or its
#: budget was, no model could be asked, or a model gave up.
IncompleteReason = Literal["rounds", "budget", "models", "gave_up"]


class Answer(TypedDict):
    """What a model says to the one who asked."""

    text: Annotated[str, doc("The words.")]
    model: Annotated[str, doc("The model.")]
    source: Annotated[
        Literal["look", "finalize", "no_tools"],
        doc("When: `finalize`, at the end; `look`, with the last look; `no_tools`, for a plan."),
    ]


class Structured(TypedDict):
    """The answer in the shape that was asked for."""

    value: Annotated[Any, doc("What fits the run's `result_schema`; null where nothing did.")]
    reason: Annotated[str | None, doc("Why there is none; null where there is one.")]


class Result(TypedDict):
    """What came out."""

    output: Annotated[Any, doc("The output of the last step.")]
    summary: Annotated[str, doc("One line that counts and never quotes.")]
    answer: NotRequired[  # not in those of earlier versions
        Annotated[Answer | None, doc("The answer in words; null where there is none.")]
    ]
    structured: NotRequired[  # only of runs with a `result_schema`
        Annotated[
            Structured, doc("The answer in the shape of `result_schema`; left out without one.")
        ]
    ]


class Unparsed(TypedDict):
    """Words that no planner could place."""

    text: Annotated[str, doc("The words.")]
    span: Annotated[Span, doc("`[start, end]` of them in the prompt.")]


class RunError(TypedDict):
    """Why the run did not complete."""

    type: Annotated[
        ErrorType,
        doc(
            "What kind of failure it is; `planning_failed`: the models that were to plan it "
            "failed, and the pattern planner did not understand it or may not answer for them; "
            "`incomplete`: something was done, and the rest was left."
        ),
    ]
    message: Annotated[str, doc("The reason, in words.")]
    step: Annotated[int | None, doc("The step that failed.")]
    unparsed: Annotated[list[Unparsed], doc("The words that were not understood.")]
    examples: Annotated[list[str], doc("Requests that would be understood.")]
    rejected_plan: Annotated[Plan | None, doc("The plan that failed its check.")]
    reason: NotRequired[
        Annotated[
            IncompleteReason,
            doc(
                "With `incomplete` only: why the rest was left: `rounds`, the last one was over; "
                "`budget`; `models`, none could be asked; `gave_up`, a model did."
            ),
        ]
    ]


def run_error(
    kind: ErrorType,
    message: str,
    *,
    step: int | None = None,
    unparsed: Sequence[Unparsed] = (),
    examples: Sequence[str] = (),
    rejected_plan: Plan | None = None,
    reason: IncompleteReason | None = None,
) -> RunError:
    """A run's error with all its fields, the unnamed ones empty; `reason` of an incomplete one."""
    error = RunError(
        type=kind,
        message=message,
        step=step,
        unparsed=list(unparsed),
        examples=list(examples),
        rejected_plan=rejected_plan,
    )
    if reason is not None:
        error["reason"] = reason
    return error


#: From each status to those that may follow it. Out of a settled one leads only a retry.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    "pending": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"running", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset({"pending"}),
    "cancelled": frozenset({"pending"}),
}

SETTLED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

#: A run in one of these continues only when somebody says so.
SETTLED_OR_WAITING: frozenset[Status] = SETTLED | {"waiting"}

UNSETTLED: frozenset[Status] = frozenset(STATUSES) - SETTLED

#: What may be asked of a run, and the status that it then takes.
ACTIONS: Mapping[str, Status] = {
    "cancel": "cancelled",
    "approve": "running",
    "reject": "cancelled",
    "resolve": "running",
    "retry": "pending",
}

#: Actions that need more than a transition: the statuses in which they may be asked for.
ONLY_IN: Mapping[str, frozenset[Status]] = {
    "approve": frozenset({"waiting"}),
    "reject": frozenset({"waiting"}),
    "resolve": frozenset({"waiting"}),
}


#: What may be asked of a waiting run that asks about a step in doubt, and of no other.
ABOUT_DOUBTS = frozenset({"resolve"})

#: What may be asked of one that asks about its plan.
ABOUT_PLANS = frozenset({"approve", "reject"})


class WrongStatus(Exception):
    """What was asked of a run does not go with the status that it has; `rule` says what would."""

    rule: ClassVar[str]

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status}; {self.rule}")
        self.run_id = run_id
        self.status = status


def actions(status: Status, *, in_doubt: bool = False) -> list[str]:
    """What may be asked of a run with this status; `in_doubt`: it asks about a step, not a plan."""
    others = ABOUT_PLANS if in_doubt else ABOUT_DOUBTS
    return [
        action
        for action, following in ACTIONS.items()
        if may_become(status, following)
        and status in ONLY_IN.get(action, {status})
        and action not in others
    ]


def may_become(current: Status, following: Status) -> bool:
    """Whether a run in `current` may take the status `following`."""
    return following in TRANSITIONS[current]


@cache  # every checkpoint is projected by it
def leads_to(status: Status) -> tuple[Status, ...]:
    """The statuses out of which a run may come to `status`, over several changes as well.

    A projection may skip changes in between: a run can be settled before `running` was written.
    """
    before: set[Status] = set()
    frontier: set[Status] = {status}
    while frontier:
        frontier = {
            source
            for source, targets in TRANSITIONS.items()
            if targets & frontier and source not in before | SETTLED
        }
        before |= frontier
    return tuple(sorted(before - {status}))
