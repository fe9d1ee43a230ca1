"""An explanation of a run as JSON: its documentation, and its times as people read them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.views.times import Time, rfc3339
from graph.record.explain import Explanation
from graph.state import Status


class TimeSpent(BaseModel):
    """Where the time went, in milliseconds; the parts add up to `total_ms`."""

    queue: float = Field(description="Waiting for a slot, also after a backoff.")
    planning: float = Field(description="Calls of planners.")
    waiting: float = Field(description="Waiting for a person.")
    backoff: float = Field(description="Waits before a further attempt or call.")
    tools: float = Field(description="Attempts at steps.")
    interruption: float = Field(
        description="From what was stored last before the process ended to the take-up; the work "
        "that was lost with it is in it."
    )
    other: float = Field(description="Between all that, mostly for storage.")


class StepSpent(BaseModel):
    """What one step took."""

    step: int = Field(description="Its place in the plan, counted from 1.")
    tool: str = Field(description="The tool that it calls.")
    attempts: int = Field(description="Attempts at it that were recorded.")
    tools_ms: float = Field(description="Time in these attempts, in milliseconds.")
    backoff_ms: float = Field(description="Waits between them, in milliseconds.")


class Retries(BaseModel):
    """What was done again."""

    attempts: int = Field(description="Attempts that were not the first at their step.")
    planning: int = Field(description="Calls of planners after the first.")
    taken_up: int = Field(description="How often it was taken up after its process had ended.")
    told: int = Field(description="How often it was told to go on after its end.")


class Cause(BaseModel):
    """One link of the chain that led to the end of the run."""

    kind: Literal["run", "attempt", "planning", "words", "interruption", "request"] = Field(
        description="What it is: the run's error, an attempt, a planning call, words of the "
        "prompt, an end of the process, or what somebody asked for."
    )
    message: str = Field(description="What it was, in words.")
    at: Time | None = Field(description="When, where it is known.")
    step: int | None = Field(description="The step of the plan.")
    attempt: int | None = Field(description="Which attempt at it, counted from 1.")


class ExplanationAnswer(BaseModel):
    """Where the time of a run went, what was done again, and why it came to its end."""

    run_id: str = Field(description="The id of the run.")
    status: Status = Field(description="Where the run stands.")
    until: Time = Field(description="When it was settled, or now.")
    total_ms: float = Field(description="From its acceptance until then, in milliseconds.")
    time_ms: TimeSpent = Field(description="The parts of that time.")
    steps: list[StepSpent] = Field(description="The steps of the plan.")
    retries: Retries = Field(description="How often something was done again.")
    causes: list[Cause] = Field(
        description="Why it failed or was cancelled: the effect first, then what led to it."
    )
    sentences: list[str] = Field(
        description="The same in three sentences: what came of it, where the time went, and what "
        "was done again."
    )


def present_explanation(explained: Explanation) -> dict[str, Any]:
    """The explanation with its times in RFC 3339, as `ExplanationAnswer` documents it."""
    causes = [{**cause, "at": rfc3339(cause["at"])} for cause in explained["causes"]]
    return {**explained, "until": rfc3339(explained["until"]), "causes": causes}
