"""The record of a run as JSON: its documentation, and its times as people read them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.log import Attempt, Mark, PlanningCall, present_attempt, present_call, present_mark
from api.outcome import Result, RunError, Usage
from api.plan import Plan, PlannedBy, PlannedTool
from api.times import Time, present_times, rfc3339
from graph.record.record import Record
from graph.state import Status


class Approval(BaseModel):
    """What a person was asked about the plan; `marks` tell what was decided, and by whom."""

    asked_at: Time = Field(description="Since when.")
    expires_at: Time = Field(description="Until when; then the run is cancelled.")
    tools: list[PlannedTool] = Field(description="The tools of the plan as it was proposed.")


class Limits(BaseModel):
    """The limits in force for the run."""

    step_timeout: float = Field(description="Longest time of one attempt, in seconds.")
    max_attempts: int = Field(description="Most attempts at one step.")
    backoff: float = Field(description="Wait before the second attempt, in seconds; it doubles.")
    max_prompt: int = Field(description="Longest prompt, in characters.")
    max_steps: int = Field(description="Most steps of a plan.")
    max_output: int = Field(description="Largest output of a step, in bytes.")


class Budget(BaseModel):
    """What the run may spend on planning by models."""

    usd: float | None = Field(description="US dollars.")
    tokens: int | None = Field(description="Tokens, read and written.")
    seconds: float | None = Field(description="Seconds from the start of its execution.")
    steps: int | None = Field(description="Steps of its plan.")
    on_exceeded: Literal["pattern", "fail"] = Field(
        description="`pattern`: plan in the way that costs nothing; `fail`: end the run."
    )


class Current(BaseModel):
    """The attempt that is being made, or is waited for."""

    step: int = Field(description="The step of the plan.")
    attempt: int = Field(description="Which attempt at it, counted from 1.")
    not_before: Time | None = Field(description="Its earliest time, while it is waited for.")


class Progress(BaseModel):
    """How far the run is."""

    done: int = Field(description="Steps that are done or left out.")
    of: int | None = Field(description="Steps of the plan; null while there is none.")


class Origin(BaseModel):
    """The checkpoint that a run was forked from; the run may have been removed since."""

    run_id: str = Field(description="The run.")
    checkpoint_id: str = Field(description="Its checkpoint.")


class Run(BaseModel):
    """Everything about a run; null until known."""

    version: int = Field(description="Version of the record's shape.")
    run_id: str = Field(description="The id of the run.")
    owner: str = Field(description="Whose run it is; `default` where there are no keys.")
    prompt: str = Field(description="What was asked, exactly as it was sent.")
    status: Status = Field(description="Where the run stands.")
    planned_by: PlannedBy | None = Field(description="Who made the plan, and why it was them.")
    plan: Plan = Field(description="The plan.")
    plan_proposed: Plan | None = Field(
        description="The plan as the planner had made it, if somebody has edited it."
    )
    approval: Approval | None = Field(
        description="What a person was asked about the plan; null of a run that did not ask."
    )
    forked_from: Origin | None = Field(description="What it was forked from.")
    forks: list[str] = Field(
        description="The runs that were forked from it and not removed since, oldest first."
    )
    execution_log: list[Attempt] = Field(description="Every attempt, oldest first.")
    marks: list[Mark] = Field(description="What happened from outside, oldest first.")
    planning_log: list[PlanningCall] = Field(description="Every call of a planner, oldest first.")
    limits: Limits = Field(description="The limits in force for this run.")
    budget: Budget | None = Field(description="The budget that the run was given.")
    current: Current | None = Field(description="The attempt being made or waited for.")
    progress: Progress = Field(description="Steps that are done, and steps in all.")
    retries: int = Field(description="How many attempts were not the first at their step.")
    usage: Usage = Field(description="Calls, tokens and price of its planning.")
    result: Result | None = Field(description="What came out of a completed run.")
    error: RunError | None = Field(description="Why the run did not complete.")
    last_event_id: int = Field(ge=1, description="The number of its last event so far.")
    actions: list[str] = Field(
        description="What may be done with it now; each is the path that it is posted to, as "
        "`cancel` at `/runs/{run_id}/cancel`."
    )
    queue_position: int | None = Field(description="Its place among the waiting, from 1.")
    created_at: Time = Field(description="When it was accepted.")
    started_at: Time | None = Field(description="When its planning began.")
    completed_at: Time | None = Field(description="When it was settled.")


def present(record: Record) -> dict[str, Any]:
    """The record with its times in RFC 3339, as `Run` documents it."""
    current, approval = record["current"], record["approval"]
    return {
        **present_times(record),
        "execution_log": [present_attempt(attempt) for attempt in record["execution_log"]],
        "marks": [present_mark(mark) for mark in record["marks"]],
        "planning_log": [present_call(call) for call in record["planning_log"]],
        "approval": approval
        and {
            **approval,
            "asked_at": rfc3339(approval["asked_at"]),
            "expires_at": rfc3339(approval["expires_at"]),
        },
        "current": current and {**current, "not_before": rfc3339(current["not_before"])},
    }
