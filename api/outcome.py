"""How a run ended, and what it has used until then."""

from typing import Any

from pydantic import BaseModel, Field

from api.plan import Plan, PlannedBy
from api.times import Time
from graph.state import ErrorType, Status


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
