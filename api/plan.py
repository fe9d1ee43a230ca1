"""Plans as JSON: their steps, who made them, and with which tools."""

from typing import Any, Literal

from pydantic import BaseModel, Field


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


class Plan(BaseModel):
    """The steps; none while the run is unplanned and when it was refused."""

    steps: list[Step] = Field(description="In the order of execution.")


class PlannedBy(BaseModel):
    """Who made the plan."""

    source: Literal["llm", "pattern"] = Field(description="A model, or the pattern planner.")
    model: str | None = Field(description="The model's name; null for the pattern planner.")
    reason: str = Field(description="Why it was this planner.")
    complexity: dict[str, Any] | None = Field(description="How complex the task was judged.")


class PlannedTool(BaseModel):
    """A tool that the plan uses."""

    tool: str = Field(description="The tool.")
    effects: bool = Field(description="Whether a call changes something.")
    steps: list[int] = Field(description="The steps that call it.")
