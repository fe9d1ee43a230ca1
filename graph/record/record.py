"""The record of a run as callers read it: a view of the state, nothing added but names."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, cast

from annotated_types import Ge
from typing_extensions import TypedDict

from graph.record.events import events
from graph.state import (
    Approval,
    Attempt,
    Budget,
    Choice,
    Conversation,
    Learned,
    Limits,
    Marked,
    Plan,
    PlannedBy,
    PlanningCall,
    Question,
    ResolvedAs,
    Result,
    Retry,
    RunError,
    RunState,
    Status,
    Step,
    Usage,
    attempts,
    marks,
    question_of,
    step_key,
)
from graph.state.rounds import approval_of, is_planning, rounds_of
from graph.state.status import actions
from graph.state.wording import Time, doc


class Current(TypedDict):
    """The attempt that is being made, or is waited for."""

    step: Annotated[int, doc("The step of the plan.")]
    attempt: Annotated[int, doc("Which attempt at it, counted from 1.")]
    not_before: Annotated[Time | None, doc("Its earliest time, while it is waited for.")]


class Progress(TypedDict):
    """How far the run is."""

    done: Annotated[int, doc("Steps that are done or left out.")]
    of: Annotated[int | None, doc("Steps of the plan; null while there is none.")]


class InDoubt(TypedDict):
    """A step of which nobody knows whether it acted, and about which a person is asked."""

    step: Annotated[int, doc("The step of the plan.")]
    tool: Annotated[str, doc("The tool that was called.")]
    attempt: Annotated[int, doc("Which attempt at it, counted from 1.")]
    known: Annotated[str, doc("What was known of it at the time, in words.")]
    learned: Annotated[
        Learned | None, doc("How its call ended, where that was learned since; else null.")
    ]
    asked_at: Annotated[Time, doc("Since when a person is asked.")]
    expires_at: Annotated[Time, doc("Until when; then the step fails, and the run with it.")]


class WaitsFor(TypedDict):
    """The run of its thread that has to end before this one begins."""

    run_id: Annotated[str, doc("The run.")]
    why: Annotated[
        Literal["pending", "running", "approval", "in_doubt"],
        doc(
            "What that is at: `pending` or `running`; with `approval` a person is to decide about "
            "its plan, with `in_doubt` about a step that may have acted."
        ),
    ]


def waiting_for(run_id: str, status: Status, state: RunState | None) -> WaitsFor:
    """What the next run of a thread waits for; the `state` is that of a run that waits itself."""
    if status != "waiting":
        return WaitsFor(run_id=run_id, why="pending" if status == "pending" else "running")
    in_doubt = state is not None and question_of(state) is not None
    return WaitsFor(run_id=run_id, why="in_doubt" if in_doubt else "approval")


class Undelivered(TypedDict):
    """Something that was to be posted of the run, and was tried without success."""

    url: Annotated[str, doc("Where: scheme and host, since the rest may hold a secret.")]
    event: Annotated[str, doc("What, as `run.completed`.")]
    at: Annotated[Time, doc("When it happened.")]
    attempts: Annotated[int, doc("How often it was tried.")]
    failure: Annotated[str, doc("Why the last attempt failed.")]
    given_up: Annotated[bool, doc("Whether it is tried no more.")]


class Origin(TypedDict):
    """The checkpoint that a run was forked from; the run may have been removed since."""

    run_id: Annotated[str, doc("The run.")]
    checkpoint_id: Annotated[str, doc("Its checkpoint.")]


#: `as` is a word of Python's own.
_As = TypedDict(
    "_As",
    {
        "as": NotRequired[
            Annotated[
                ResolvedAs, doc("With `resolved`, and `expired` of a step: what it counts as.")
            ]
        ]
    },
)


class Mark(Marked, _As):
    """Something that happened to the run from outside its steps."""

    event: Annotated[
        int | None, doc("The number of its event; null in records of earlier versions.")
    ]
    retry: Annotated[Retry | None, doc("With `retry` only: what was asked for.")]
    steps: Annotated[
        list[Step] | None,
        doc("With `approved` only: what is executed instead, if somebody edited the plan."),
    ]
    # Only where they are said.
    step: NotRequired[Annotated[int, doc("With `in_doubt` and what answers it: the step.")]]
    expires_at: NotRequired[
        Annotated[Time, doc("With `in_doubt`: until when a person may decide about it.")]
    ]
    output: NotRequired[
        Annotated[Any, doc("With `resolved` as `done`: what the step is taken to have returned.")]
    ]
    learned: NotRequired[
        Annotated[Learned, doc("With `resolved`: how the call was known to have ended by then.")]
    ]


class LoggedAttempt(Attempt):
    """One execution of one step, as it is read."""

    step_key: Annotated[
        str | None,
        doc(
            "The idempotency key that its tool was given: the same for every attempt at the step, "
            "and after every crash; null of what the run that it was forked from had done."
        ),
    ]


class Record(TypedDict):
    """Everything about a run; null until known."""

    version: Annotated[int, doc("Version of the record's shape.")]
    run_id: Annotated[str, doc("The id of the run.")]
    thread_id: NotRequired[  # as those below
        Annotated[str, doc("The thread that it belongs to; its own id where it began one.")]
    ]
    owner: Annotated[str, doc("Whose run it is; `default` where there are no keys.")]
    posted_by: NotRequired[  # not in those of earlier versions
        Annotated[
            str,
            doc("Who posted or forked it, as marks say `by`; missing of one that Studio began."),
        ]
    ]
    prompt: Annotated[str, doc("What was asked, exactly as it was sent.")]
    status: Annotated[Status, doc("Where the run stands.")]
    planned_by: Annotated[PlannedBy | None, doc("Who made the plan, and why it was them.")]
    plan: Annotated[Plan, doc("The plan.")]
    plan_proposed: Annotated[
        Plan | None, doc("The plan as the planner had made it, if somebody has edited it.")
    ]
    approval: Annotated[
        Approval | None,
        doc("What a person was asked about the plan; null of a run that did not ask."),
    ]
    forked_from: Annotated[Origin | None, doc("What it was forked from.")]
    forks: Annotated[
        list[str], doc("The runs that were forked from it and not removed since, oldest first.")
    ]
    execution_log: Annotated[list[LoggedAttempt], doc("Every attempt, oldest first.")]
    marks: Annotated[list[Mark], doc("What happened from outside, oldest first.")]
    planning_log: Annotated[list[PlanningCall], doc("Every call of a planner, oldest first.")]
    limits: Annotated[Limits, doc("The limits in force for this run.")]
    budget: Annotated[Budget | None, doc("The budget that the run was given.")]
    choice: NotRequired[  # nor this
        Annotated[
            Choice | None, doc("What it was given to be planned with; null where that is nothing.")
        ]
    ]
    metadata: NotRequired[Annotated[dict[str, str], doc("What its caller calls it by.")]]
    in_doubt: NotRequired[  # not in those that earlier versions have printed
        Annotated[
            InDoubt | None,
            doc("The step in doubt that the run waits with, until `/resolve`; null of any other."),
        ]
    ]
    current: Annotated[Current | None, doc("The attempt being made or waited for.")]
    progress: Annotated[Progress, doc("Steps that are done, and steps in all.")]
    retries: Annotated[int, doc("How many attempts were not the first at their step.")]
    usage: Annotated[Usage, doc("Calls of models, their tokens and price.")]
    result: Annotated[Result | None, doc("What came out of a completed run.")]
    error: Annotated[RunError | None, doc("Why the run did not complete.")]
    last_event_id: Annotated[int, Ge(1), doc("The number of its last event so far.")]
    actions: Annotated[
        list[str],
        doc(
            "What may be done with it now; each is the path that it is posted to, as "
            "`cancel` at `/runs/{run_id}/cancel`."
        ),
    ]
    queue_position: Annotated[
        int | None,
        doc("Its place among the waiting, from 1; null while it `waits_for_run` another."),
    ]
    waits_for_run: NotRequired[
        Annotated[
            WaitsFor | None, doc("The run of its thread that has to end first; null of any other.")
        ]
    ]
    conversation: NotRequired[
        Annotated[
            Conversation | None,
            doc("What went before in its thread, as it was when it began; null where nothing did."),
        ]
    ]
    webhooks: NotRequired[
        Annotated[
            list[Undelivered],
            doc("What of it could not be posted as yet, or at all; missing where that is nothing."),
        ]
    ]
    created_at: Annotated[Time, doc("When it was accepted.")]
    started_at: Annotated[Time | None, doc("When its planning began.")]
    completed_at: Annotated[Time | None, doc("When it was settled.")]


#: What most marks leave out.
_UNSAID = {"event": None, "retry": None, "steps": None}


def record_of(
    state: RunState,
    *,
    queue_position: int | None = None,
    forks: Sequence[str] = (),
    learned: Learned | None = None,
    waits_for_run: WaitsFor | None = None,
    undelivered: Sequence[Undelivered] = (),
) -> Record:
    """The record of a run; `queue_position` is its place, while it is queued.

    `forks` are the ids of the runs that were forked from it, `learned` how the call ended that it
    asks about. `waits_for_run` is the run that has to end before it begins. `undelivered` is what
    could not be posted of it.
    """
    question = question_of(state)
    fork = state.get("forked_from")
    made = attempts(state)
    record = Record(
        version=state["version"],
        run_id=state["run_id"],
        thread_id=state.get("thread_id", state["run_id"]),
        forked_from=fork and Origin(run_id=fork["run_id"], checkpoint_id=fork["checkpoint_id"]),
        forks=list(forks),
        owner=state["owner"],
        prompt=state["prompt"],
        status=state["status"],
        planned_by=state["planned_by"],
        plan=Plan(steps=state["plan"]["steps"], rounds=rounds_of(state)),
        plan_proposed=state["plan_proposed"],
        approval=approval_of(state),
        execution_log=_execution_log(state, made),
        marks=[cast("Mark", {**_UNSAID, **mark}) for mark in marks(state)],
        planning_log=state["planning_log"],
        limits=state["limits"],
        budget=state.get("budget"),
        choice=state.get("choice"),
        metadata=state.get("metadata", {}),
        in_doubt=question and _in_doubt(question, learned),
        current=_current(state),
        usage=state["usage"],
        result=state["result"],
        error=state["error"],
        progress=progress_of(state),
        retries=sum(attempt["attempt"] > 1 for attempt in made),
        last_event_id=len(events(state)),
        actions=actions(state["status"], in_doubt=question is not None),
        queue_position=queue_position,
        waits_for_run=waits_for_run,
        conversation=state.get("conversation"),
        created_at=state["created_at"],
        started_at=state["started_at"],
        completed_at=state["completed_at"],
    )
    if "posted_by" in state:
        record["posted_by"] = state["posted_by"]
    if undelivered:
        record["webhooks"] = list(undelivered)
    return record


def _execution_log(state: RunState, made: Sequence[Attempt]) -> list[LoggedAttempt]:
    fork = state.get("forked_from")
    log = state.get("log", [])  # which a fork that has not begun lacks
    copied = len(attempts({"log": log[: fork["logged"]]})) if fork else 0
    keys = [
        None if place < copied else step_key(state, attempt["step"], attempt["generation"])
        for place, attempt in enumerate(made)
    ]
    return [
        cast("LoggedAttempt", {"may_have_acted": None, **attempt, "step_key": key})
        for attempt, key in zip(made, keys, strict=True)
    ]


def _in_doubt(question: Question, learned: Learned | None) -> InDoubt:
    attempt = question["attempt"]
    error = attempt["error"]
    return InDoubt(
        step=attempt["step"],
        tool=attempt["tool"],
        attempt=attempt["attempt"],
        known=error["message"] if error else "",
        learned=learned,
        asked_at=question["asked_at"],
        expires_at=question["expires_at"],
    )


def progress_of(state: RunState) -> Progress:
    """How far a run is."""
    return Progress(done=state["cursor"], of=len(state["plan"]["steps"]) or None)


def _current(state: RunState) -> Current | None:
    steps = state["plan"]["steps"]
    if state["status"] != "running" or state["error"] or state["cursor"] >= len(steps):
        return None
    if is_planning(state):  # another way than the step that has failed
        return None
    return Current(
        step=steps[state["cursor"]]["step"],
        attempt=state["attempt"] + 1,
        not_before=state["not_before"],
    )
