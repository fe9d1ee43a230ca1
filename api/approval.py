"""Plans that a person is asked about: what is sent to decide, and a plan without a run."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from api.log import PlanningCall
from api.outcome import RunError, Usage
from api.plan import Plan, PlannedBy, PlannedTool
from api.schemas import Body, Steps, Task, Text, whole
from api.times import rfc3339
from graph.drafts import Draft

#: Said in the description, checked with clearer words elsewhere.
_NO_NULL = {"pattern": r"^[^\u0000]*$"}

Words = Annotated[Text, Field(json_schema_extra=_NO_NULL)]

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


class ApproveCreate(Body):
    """A yes to the plan of a run, or to another plan."""

    plan: PlanEdit | None = Field(None, description="What to execute instead, if anything.")

    def plain_plan(self) -> dict[str, Any] | None:
        """The edited plan as plain data."""
        return None if self.plan is None else self.plan.model_dump()


class RejectCreate(Body):
    """A no to the plan of a run."""

    reason: Words | None = Field(
        None, max_length=2_000, description="Why; it is kept in the record."
    )


class DraftCreate(Task):
    """A task that is to be planned and nothing more."""


class DraftAnswer(Plan):
    """A checked plan; without steps where there is none, and `error` says why."""

    tools: list[PlannedTool] = Field(description="The tools that it uses.")
    planned_by: PlannedBy | None = Field(description="Who made the plan, and why it was them.")
    planning_log: list[PlanningCall] = Field(description="Every call of a planner, oldest first.")
    usage: Usage = Field(description="Calls, tokens and price of the planning.")
    error: RunError | None = Field(description="What a run of this prompt would end with instead.")


def present_draft(draft: Draft) -> dict[str, Any]:
    """The draft with its times in RFC 3339, as `DraftAnswer` documents it."""
    return {
        "steps": draft["plan"]["steps"],
        "tools": draft["tools"],
        "planned_by": draft["planned_by"],
        "planning_log": [
            {**call, "started_at": rfc3339(call["started_at"])} for call in draft["planning_log"]
        ],
        "usage": draft["usage"],
        "error": draft["error"],
    }
