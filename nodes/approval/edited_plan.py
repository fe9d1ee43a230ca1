"""Reading a plan that a person gives instead of the proposed one, as strictly as a model's."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.state import Limits, Plan, RunState, Step
from nodes.contract.json_data import InvalidOutput, plain
from nodes.contract.plan_check import check_plan
from tools.registry import Tool

_MAX_INPUT = 64 * 1024  # bytes of a step's input
_MAX_REASONING = 1_000  # characters


class PlanUnfit(Exception):
    """A plan that must not be executed; `reasons` say why, and what would be right."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class _Step(BaseModel):
    """A step as the record shows it; only the tool and its input need to be given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: int | None = None
    tool: str
    input: dict[str, Any] = {}
    reasoning: str = Field("", max_length=_MAX_REASONING)
    span: list[int] | None = Field(None, min_length=2, max_length=2)


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    steps: list[_Step]


def check_editable(state: RunState) -> None:
    """Raise `PlanUnfit` for a run that continues in the middle of its plan: that must stay as it
    is.

    What is done, or left out, is told by its place in the plan.
    """
    if state["cursor"] or state.get("skipped"):
        raise PlanUnfit(
            [
                "steps of this run are done or left out already, so that its plan can only be"
                " approved as it is; to change it, reject it and fork the run with another plan"
            ]
        )


def read_plan(given: object, tools: Mapping[str, Tool], limits: Limits) -> Plan:
    """The plan with its steps numbered, after the check that every plan passes.

    Raises `PlanUnfit`.
    """
    if not isinstance(given, dict):
        raise PlanUnfit(['the plan should be an object: {"steps": […]}'])
    try:
        read = _Plan.model_validate(given)
    except ValidationError as invalid:
        raise PlanUnfit(
            [
                f"{'.'.join(map(str, error['loc'])) or 'the plan'}: {error['msg']}"
                for error in invalid.errors(include_url=False, include_context=False)
            ]
        ) from None
    steps = [_step(number, step) for number, step in enumerate(read.steps, start=1)]
    if reasons := check_plan(steps, tools, limits):
        raise PlanUnfit(reasons)
    return Plan(steps=steps)


def _step(number: int, given: _Step) -> Step:
    if given.span is not None and not 0 <= given.span[0] <= given.span[1]:
        raise PlanUnfit([f"step {number}: span should be [start, end], places in the prompt"])
    step = Step(
        step=number if given.step is None else given.step,
        tool=given.tool,
        input=given.input,
        reasoning=given.reasoning,
        span=given.span,
    )
    try:
        plain(given.input, max_bytes=_MAX_INPUT, what="input")
        kept: Step = plain(step, max_bytes=2 * _MAX_INPUT, what="step")
    except InvalidOutput as error:
        raise PlanUnfit([f"step {number}: {error}"]) from None
    return kept
