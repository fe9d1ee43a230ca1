"""The record of a run as callers read it: a view of the state, nothing added but names."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict

from graph.record.events import events
from graph.state import (
    Approval,
    Budget,
    Limits,
    Plan,
    PlannedBy,
    PlanningCall,
    Result,
    RunError,
    RunState,
    Status,
    Usage,
)
from graph.state.status import actions


class Current(TypedDict):
    """The attempt that is being made or is due; `not_before` in epoch seconds while it waits."""

    step: int
    attempt: int
    not_before: float | None


class Progress(TypedDict):
    """How many steps are done; `of` is null while there is no plan."""

    done: int
    of: int | None


class Origin(TypedDict):
    """The checkpoint that a run was forked from."""

    run_id: str
    checkpoint_id: str


class Record(TypedDict):
    """Everything about a run; null until known, times in epoch seconds."""

    version: int
    run_id: str
    forked_from: Origin | None
    forks: list[str]
    owner: str
    prompt: str
    status: Status
    planned_by: PlannedBy | None
    plan: Plan
    plan_proposed: Plan | None
    approval: Approval | None
    execution_log: list[dict[str, Any]]
    marks: list[dict[str, Any]]
    planning_log: list[PlanningCall]
    limits: Limits
    budget: Budget | None
    current: Current | None
    progress: Progress
    retries: int
    usage: Usage
    result: Result | None
    error: RunError | None
    last_event_id: int
    actions: list[str]
    queue_position: int | None
    created_at: float
    started_at: float | None
    completed_at: float | None


def record_of(
    state: RunState, *, queue_position: int | None = None, forks: Sequence[str] = ()
) -> Record:
    """The record of a run; `queue_position` is its place, while it is queued.

    `forks` are the ids of the runs that were forked from it.
    """
    fork = state.get("forked_from")
    attempts = _entries(state, "attempt")
    return Record(
        version=state["version"],
        run_id=state["run_id"],
        forked_from=fork and Origin(run_id=fork["run_id"], checkpoint_id=fork["checkpoint_id"]),
        forks=list(forks),
        owner=state["owner"],
        prompt=state["prompt"],
        status=state["status"],
        planned_by=state["planned_by"],
        plan=state["plan"],
        plan_proposed=state["plan_proposed"],
        approval=state.get("approval"),
        execution_log=attempts,
        marks=_entries(state, "mark"),
        planning_log=state["planning_log"],
        limits=state["limits"],
        budget=state.get("budget"),
        current=_current(state),
        usage=state["usage"],
        result=state["result"],
        error=state["error"],
        progress=progress_of(state),
        retries=sum(1 for entry in attempts if entry["attempt"] > 1),
        last_event_id=len(events(state)),
        actions=actions(state["status"]),
        queue_position=queue_position,
        created_at=state["created_at"],
        started_at=state["started_at"],
        completed_at=state["completed_at"],
    )


def progress_of(state: RunState) -> Progress:
    """How far a run is."""
    return Progress(done=state["cursor"], of=len(state["plan"]["steps"]) or None)


def _entries(state: RunState, kind: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in entry.items() if key != "kind"}
        for entry in state.get("log", [])
        if entry["kind"] == kind
    ]


def _current(state: RunState) -> Current | None:
    steps = state["plan"]["steps"]
    if state["status"] != "running" or state["error"] or state["cursor"] >= len(steps):
        return None
    return Current(
        step=steps[state["cursor"]]["step"],
        attempt=state["attempt"] + 1,
        not_before=state["not_before"],
    )
