"""The record of a run as JSON: its documentation, and its times as people read them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.views.times import Time, present_times, rfc3339
from graph.record.record import Record
from graph.state import ErrorType, Status

# Plans as JSON: their steps, who made them, and with which tools.


class PlannedTool(BaseModel):
    """A tool that the plan uses."""

    tool: str = Field(description="The tool.")
    effects: bool = Field(description="Whether a call changes something.")
    steps: list[int] = Field(description="The steps that call it.")
    scope: list[str] = Field(
        [],
        description="Which calls are about several things or all, and what these are; left out if "
        "none is.",
    )


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


# What happened in a run, entry by entry, as its record tells it.


class AttemptError(BaseModel):
    """Why an attempt failed."""

    type: str = Field(description="The class of the error.")
    message: str = Field(description="What went wrong, in words.")
    retryable: bool = Field(description="Whether another attempt may succeed.")


class Attempt(BaseModel):
    """One execution of one step."""

    step: int = Field(description="The step of the plan.")
    tool: str = Field(description="The tool that was called.")
    input: dict[str, Any] = Field(description="What it was given, references resolved.")
    attempt: int = Field(description="Which attempt at the step, counted from 1.")
    generation: int = Field(description="How often finished steps were told to run again before.")
    status: Literal["ok", "error", "timeout", "cancelled"] = Field(description="How it ended.")
    output: Any = Field(description="What the tool returned; null unless `status` is `ok`.")
    error: AttemptError | None = Field(description="Why it failed.")
    retry_at: Time | None = Field(description="The earliest time of the next attempt.")
    thread_running: bool = Field(
        description="Whether the tool may still be running although its time was up."
    )
    may_have_acted: bool | None = Field(
        description="Whether it may have changed something; null in records of earlier versions."
    )
    started_at: Time = Field(description="When it began.")
    duration_ms: float = Field(description="How long it took, in milliseconds.")


class Step(BaseModel):
    """One tool call of a plan."""

    step: int = Field(description="Its place in the plan, counted from 1.")
    tool: str = Field(description="The tool it calls.")
    input: dict[str, Any] = Field(
        description="What the tool is given; may refer to earlier outputs, as `{step_1_output}`."
    )
    reasoning: str = Field(description="Why the planner made this step.")
    span: list[int] | None = Field(
        description="`[start, end]` of the words in the prompt that the step is for."
    )


class Mark(BaseModel):
    """Something that happened to the run from outside its steps."""

    what: Literal["taken_up", "cancel", "retry", "approved", "rejected", "expired"] = Field(
        description="What happened; `taken_up` is the resumption after a restart."
    )
    at: Time = Field(description="When.")
    by: str = Field(description="Who did it.")
    detail: str | None = Field(description="What else there is to say about it.")
    event: int | None = Field(
        description="The number of its event; null in records of earlier versions."
    )
    retry: "Retry | None" = Field(description="With `retry` only: what was asked for.")
    steps: list[Step] | None = Field(
        description="With `approved` only: what is executed instead, if somebody edited the plan."
    )


class Plan(BaseModel):
    """The steps; none while the run is unplanned and when it was refused."""

    steps: list[Step] = Field(description="In the order of execution.")


class PlanningCall(BaseModel):
    """One call of a planner."""

    planner: Literal["llm", "pattern"] = Field(description="Which planner was called.")
    model: str | None = Field(description="The model; null for the pattern planner.")
    outcome: str = Field(description="What came of it.")
    error_class: str | None = Field(description="Why it failed or was skipped.")
    transient: bool | None = Field(description="Whether that failure may pass by itself.")
    reasons: list[str] = Field(description="Why the answer was rejected.")
    started_at: Time = Field(description="When it began.")
    duration_ms: float = Field(description="How long it took, in milliseconds.")
    input_tokens: int | None = Field(description="Tokens read; null where there are none.")
    output_tokens: int | None = Field(description="Tokens written; null where there are none.")
    usd: float | None = Field(description="Its price in US dollars; null when not known.")
    rejected_plan: Plan | None = Field(
        None, description="The plan that failed its check, unless it is too large to be kept."
    )


# How a run ended, and what it has used until then.


class Usage(BaseModel):
    """What planning took."""

    calls: int = Field(description="Calls of a model.")
    input_tokens: int | None = Field(description="Tokens read; null when not known.")
    output_tokens: int | None = Field(description="Tokens written; null when not known.")
    usd: float | None = Field(description="Price in US dollars; null when not known, never 0.")
    by_model: dict[str, Any] = Field(description="The same for each model.")


class Result(BaseModel):
    """What came out."""

    output: Any = Field(description="The output of the last step.")
    summary: str = Field(description="One line that counts and never quotes.")


class Unparsed(BaseModel):
    """Words that no planner could place."""

    text: str = Field(description="The words.")
    span: list[int] = Field(description="`[start, end]` of them in the prompt.")


class RunError(BaseModel):
    """Why the run did not complete."""

    type: ErrorType = Field(description="What kind of failure it is.")
    message: str = Field(description="The reason, in words.")
    step: int | None = Field(description="The step that failed.")
    unparsed: list[Unparsed] = Field(description="The words that were not understood.")
    examples: list[str] = Field(description="Requests that would be understood.")
    rejected_plan: Plan | None = Field(description="The plan that failed its check.")


class PlannedBy(BaseModel):
    """Who made the plan."""

    source: Literal["llm", "pattern"] = Field(description="A model, or the pattern planner.")
    model: str | None = Field(description="The model's name; null for the pattern planner.")
    reason: str = Field(description="Why it was this planner.")
    complexity: dict[str, Any] | None = Field(description="How complex the task was judged.")


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


class Ending(BaseModel):
    """An end that a retry has undone."""

    status: Status = Field(description="How the run stood.")
    error: RunError | None = Field(description="Why it did not complete.")
    usage: Usage = Field(description="What planning had taken by then.")
    planned_by: PlannedBy | None = Field(description="Who had planned it last.")
    steps: int = Field(description="Steps of its plan; 0 where it had none.")
    planned: int = Field(description="Entries of its planning log.")
    generation: int = Field(description="How often it had been retried before.")
    started_at: Time | None = Field(description="When it had been started last.")
    completed_at: Time | None = Field(description="When it had been settled.")


class Retry(BaseModel):
    """What a retry was asked to do."""

    from_step: int | None = Field(description="The step it begins with; null: planned again.")
    input: dict[str, Any] | None = Field(description="The edited input of that step.")
    skip: list[int] = Field(description="The steps that are left out from then on.")
    generation: int = Field(description="What the keys of its steps are made with.")
    ended: Ending = Field(description="The end that it has undone.")


def present_attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    """An attempt with its times in RFC 3339, as `Attempt` documents it."""
    return {
        "may_have_acted": None,
        **attempt,
        "retry_at": rfc3339(attempt["retry_at"]),
        "started_at": rfc3339(attempt["started_at"]),
    }


def present_call(call: Any) -> dict[str, Any]:
    """A planning call with its times in RFC 3339, as `PlanningCall` documents it."""
    return {**call, "started_at": rfc3339(call["started_at"])}


def present_mark(mark: dict[str, Any]) -> dict[str, Any]:
    """A mark with its times in RFC 3339, as `Mark` documents it."""
    shown = {"event": None, "retry": None, "steps": None, **mark, "at": rfc3339(mark["at"])}
    if retry := shown["retry"]:
        ended = {name: retry["ended"][name] for name in Ending.model_fields}
        times = {name: rfc3339(ended[name]) for name in ("started_at", "completed_at")}
        asked = {name: retry[name] for name in Retry.model_fields}
        shown["retry"] = {**asked, "ended": {**ended, **times}}
    return shown
