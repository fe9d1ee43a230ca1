"""An edited plan as it is sent, to be approved or to begin a fork with."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from api.schemas import Body, Steps, Words, whole

#: A place in the prompt.
Position = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(whole)]


class StepEdit(Body):
    """One step of an edited plan, as the record shows steps; most of it may be left out."""

    step: Steps | None = Field(None, description="Its place in the plan, counted from 1.")
    tool: Words = Field(description="The tool that it calls.")
    input: dict[str, Any] = Field(
        {}, description="What the tool is given; may refer to earlier outputs."
    )
    reasoning: Words = Field("", description="Why the step is there.")
    span: list[Position] | None = Field(
        None, min_length=2, max_length=2, description="The words of the prompt that it is for."
    )


class PlanEdit(Body):
    """A plan to be executed instead of the proposed one; it is checked as every plan is."""

    steps: list[StepEdit] = Field(min_length=1, description="In the order of execution.")
