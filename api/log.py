"""What happened in a run, entry by entry, as its record tells it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.outcome import Ending
from api.plan import Plan, Step
from api.times import Time, rfc3339


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


class Retry(BaseModel):
    """What a retry was asked to do."""

    from_step: int | None = Field(description="The step it begins with; null: planned again.")
    input: dict[str, Any] | None = Field(description="The edited input of that step.")
    skip: list[int] = Field(description="The steps that are left out from then on.")
    generation: int = Field(description="What the keys of its steps are made with.")
    ended: Ending = Field(description="The end that it has undone.")


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
    told = {"event": None, "retry": None, "steps": None, **mark, "at": rfc3339(mark["at"])}
    if retry := told["retry"]:
        ended = {name: retry["ended"][name] for name in Ending.model_fields}
        times = {name: rfc3339(ended[name]) for name in ("started_at", "completed_at")}
        asked = {name: retry[name] for name in Retry.model_fields}
        told["retry"] = {**asked, "ended": {**ended, **times}}
    return told
