"""Reading a plan that a person gives instead of the proposed one, as strictly as a model's."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.state import EditedPlan, Limits, RunState, Step, outputs
from graph.state.rounds import rounds_of
from nodes.contract.json_data import InvalidOutput, plain
from nodes.contract.steps import check_plan
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
    definition: str | None = None


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    steps: list[_Step]
    then: Literal["done", "look"] = "done"
    rounds: Any = None  # as records show it; what is edited is the last one


def first_editable(state: RunState) -> int:
    """The step that an edited plan begins with: the first one of the round that is asked about."""
    rounds = rounds_of(state)
    return rounds[-1]["first"] if rounds else 1


def check_editable(state: RunState) -> None:
    """Raise `PlanUnfit` for a run that continues in the middle of a round: that must stay as it is.

    What is done, or left out, is told by its place in the plan.
    """
    first = first_editable(state)
    if state["cursor"] != first - 1 or any(step >= first for step in state.get("skipped", ())):
        raise PlanUnfit(
            [
                "steps of this run are done or left out already, so that its plan can only be"
                " approved as it is; to change it, reject it and fork the run with another plan"
            ]
        )


def read_round(
    given: object, state: RunState, tools: Mapping[str, Tool], limits: Limits
) -> EditedPlan:
    """An edited last round as `read_plan` has it: its steps, and in `then` what follows them."""
    check_editable(state)
    done = outputs(state).keys() - {*state.get("skipped", ())}
    first = first_editable(state)
    return read_plan(given, tools, limits, first=first, done=done if first > 1 else ())


def read_plan(
    given: object,
    tools: Mapping[str, Tool],
    limits: Limits,
    *,
    first: int = 1,
    done: Collection[int] = (),
) -> EditedPlan:
    """The plan with its steps numbered from `first`, after the check that every plan passes.

    They may refer to the steps before that are `done`. Raises `PlanUnfit`.
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
    steps = [_step(number, step) for number, step in enumerate(read.steps, start=first)]
    if reasons := check_plan(steps, tools, limits, first=first, done=done):
        raise PlanUnfit(reasons)
    return EditedPlan(steps=steps) if read.then == "done" else EditedPlan(steps=steps, then="look")


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
    if given.definition is not None:
        step["definition"] = given.definition
    try:
        plain(given.input, max_bytes=_MAX_INPUT, what="input")
        kept: Step = plain(step, max_bytes=2 * _MAX_INPUT, what="step")
    except InvalidOutput as error:
        raise PlanUnfit([f"step {number}: {error}"]) from None
    return kept
