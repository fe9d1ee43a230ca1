"""Lists of runs as JSON."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.times import Time, present_times
from graph.state import Status
from graph.storage.pages import Page


class RunSummary(BaseModel):
    """One run in a list."""

    run_id: str = Field(description="The id of the run.")
    owner: str = Field(description="Whose run it is; `default` where there are no keys.")
    prompt: str = Field(description="What was asked.")
    status: Status = Field(description="Where the run stands.")
    created_at: Time = Field(description="When it was accepted.")
    started_at: Time | None = Field(description="When its planning began.")
    completed_at: Time | None = Field(description="When it was settled.")
    duration_ms: float | None = Field(
        description="From the start of its planning until it was settled, in milliseconds."
    )
    planner: Literal["llm", "pattern"] | None = Field(
        description="Who made the plan: a model or the pattern planner."
    )
    model: str | None = Field(description="The model that made the plan.")
    tools: list[str] = Field(
        description="The tools that it called and, while it is not settled, those of its plan."
    )
    usd: float | None = Field(
        description="What its planning cost in US dollars; null while it goes on, or not known."
    )
    retries: int = Field(description="Attempts after the first one, of all its steps.")
    taken_up: int = Field(description="How often it was gone on with after its server had ended.")


class Counts(BaseModel):
    """How many runs have each status; exact up to 10,000, and then that many or more."""

    pending: int = Field(description="Accepted, not begun.")
    running: int = Field(description="Being planned or executed.")
    waiting: int = Field(description="Waiting for a person.")
    completed: int = Field(description="All is done.")
    failed: int = Field(description="Ended before all was done.")
    cancelled: int = Field(description="Ended because somebody said so.")


class RunList(BaseModel):
    """A page of runs."""

    runs: list[RunSummary] = Field(description="In the order that was asked for.")
    total: int = Field(description="How many runs match; exact up to 10,000.")
    total_is_lower_bound: bool = Field(description="Whether there are more than `total`.")
    counts: Counts = Field(description="Those that match but for their status, by status.")
    next_cursor: str | None = Field(
        description="Given as `cursor`, goes on after this page; null on the last one."
    )


def present_page(page: Page) -> dict[str, Any]:
    """A page of a search, as `RunList` documents it."""
    return {**page, "runs": [present_times(run) for run in page["runs"]]}
