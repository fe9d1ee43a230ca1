"""Plans that a person is asked about: what is sent to decide, and a plan without a run."""

from typing import Any

from pydantic import Field

from api.log import PlanningCall, present_call
from api.outcome import RunError, Usage
from api.plan import Plan, PlannedBy, PlannedTool
from api.plan_edit import PlanEdit
from api.schemas import Body, Task, Words
from graph.commands.preview import Draft


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
        "planning_log": [present_call(call) for call in draft["planning_log"]],
        "usage": draft["usage"],
        "error": draft["error"],
    }
