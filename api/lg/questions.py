"""What runs ask a person, as interrupts; and the answers to them, as decisions about runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors.kinds import NothingAsked, unprocessable
from graph.record.record import Record
from graph.service import Runs
from graph.state import ResolvedAs, RunState, question_of
from graph.state.rounds import approval_of, asked_about
from nodes.approval.asking import plan_question
from nodes.approval.edited_plan import PlanUnfit
from nodes.approval.in_doubt import ANSWERS, AnswerUnfit, doubt_question
from tools.registry import Tool

#: What fits the question whether a plan is to be executed.
PLAN_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"type": "boolean", "description": "true approves the plan, false rejects it."},
        {
            "type": "object",
            "description": "Approves another plan, which is executed instead.",
            "properties": {
                "what": {"const": "approved"},
                "plan": {
                    "type": "object",
                    "properties": {"steps": {"type": "array", "items": {"type": "object"}}},
                    "required": ["steps"],
                },
            },
            "required": ["plan"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "what": {"enum": ["approved", "rejected"]},
                "reason": {"type": "string", "description": "Why, where it is rejected."},
            },
            "required": ["what"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "description": "As chat pages decide: one for each step that is asked about, in their "
            "order. One that is rejected rejects the plan.",
            "properties": {"decisions": {"type": "array", "items": {"type": "object"}}},
            "required": ["decisions"],
            "additionalProperties": False,
        },
    ]
}

#: What may be decided about each step.
_DECISIONS = ("approve", "edit", "reject")

#: What fits the question whether a step has acted.
DOUBT_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"enum": [*ANSWERS], "description": "What became of the step."},
        {
            "type": "object",
            "properties": {
                "as": {"enum": [*ANSWERS]},
                "output": {"description": "With done: what it has returned."},
            },
            "required": ["as"],
            "additionalProperties": False,
        },
    ]
}

#: An id of an interrupt, as LangGraph's are.
_ID_LENGTH = 32


def question(state: RunState, tools: Mapping[str, Tool]) -> dict[str, Any] | None:
    """What a run asks, as an interrupt; None of one that asks nothing.

    Its id is a function of the record, and another for every question.
    """
    if state["status"] != "waiting":
        return None
    if doubt := question_of(state):
        value, schema, number = doubt_question(doubt), DOUBT_SCHEMA, f"doubt {doubt['number']}"
    else:
        approval = approval_of(state)
        value, schema = _with_actions(plan_question(state, tools)), PLAN_SCHEMA
        number = f"plan {asked_about(state)} {approval and approval['asked_at']}"
    place = f"{state['run_id']} {state['generation']} {number}"
    return {"value": value, "id": uuid5(NAMESPACE_URL, place).hex, "response_schema": schema}


def _with_actions(value: dict[str, Any]) -> dict[str, Any]:
    """The question about a plan with its steps as chat pages show what is to be reviewed."""
    steps = value["plan"]["steps"]
    actions = [
        {"name": step["tool"], "args": step["input"], "description": step["reasoning"]}
        for step in steps
    ]
    configs = [
        {"action_name": name, "allowed_decisions": [*_DECISIONS]}
        for name in dict.fromkeys(step["tool"] for step in steps)
    ]
    return {**value, "action_requests": actions, "review_configs": configs}


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    args: dict[str, Any]


class _Reviewed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["approve", "edit", "reject"] = Field(alias="type")
    message: str | None = None
    edited_action: _Action | None = None


class _Review(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decisions: list[_Reviewed]


def _decided(given: dict[str, Any], steps: Sequence[Mapping[str, Any]]) -> Any:
    """What decisions about each step come to for the plan. Raises `Unprocessable`."""
    decisions = _read(_Review, given).decisions
    if len(decisions) != len(steps):
        raise unprocessable("command.resume.decisions", f"are as many as steps: {len(steps)}")
    for number, one in enumerate(decisions):
        where = f"command.resume.decisions.{number}"
        if (one.kind == "edit") != (one.edited_action is not None):
            raise unprocessable(f"{where}.edited_action", "goes with edit, and edit with it")
        if one.message is not None and one.kind != "reject":
            raise unprocessable(f"{where}.message", "goes with reject only")
    if refused := [one for one in decisions if one.kind == "reject"]:
        said = "; ".join(one.message for one in refused if one.message)
        return {"what": "rejected", "reason": said or None}
    if not any(one.edited_action for one in decisions):
        return True
    edited = [
        {"tool": one.edited_action.name, "input": one.edited_action.args}
        if one.edited_action
        else {"tool": step["tool"], "input": step["input"], "reasoning": step["reasoning"]}
        for one, step in zip(decisions, steps, strict=True)
    ]
    return {"plan": {"steps": edited}}


class _PlanAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["approved", "rejected"] = "approved"
    plan: Any = None
    reason: str | None = Field(None, max_length=2_000)


class _DoubtAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decided: ResolvedAs = Field(alias="as")
    output: Any = None


async def answer(runs: Runs, state: RunState, given: Any, *, by: str, owner: str) -> Record:
    """Let a waiting run go on as a person says; its record by then.

    Raises `NothingAsked`, `Unprocessable` for an answer that decides nothing, or cannot be carried
    out, and what `Runs.approve`, `Runs.reject` and `Runs.resolve` raise.
    """
    asked = question(state, runs.tools)
    if asked is None:
        raise NothingAsked("the thread waits for no answer")
    given = _addressed(given, asked["id"])
    run_id = state["run_id"]
    try:
        if question_of(state):
            doubt = _read(_DoubtAnswer, {"as": given} if isinstance(given, str) else given)
            return await runs.resolve(run_id, doubt.decided, doubt.output, by=by, owner=owner)
        if isinstance(given, dict) and "decisions" in given:
            given = _decided(given, asked["value"]["plan"]["steps"])
        if isinstance(given, bool):
            given = {"what": "approved" if given else "rejected"}
        plan = _read(_PlanAnswer, given)
        if plan.what == "rejected":
            if plan.plan is not None:
                raise unprocessable("command.resume.plan", "a plan that is rejected has no other")
            return await runs.reject(run_id, by=by, owner=owner, reason=plan.reason)
        if plan.reason is not None:
            raise unprocessable("command.resume.reason", "goes with rejected only")
        return await runs.approve(run_id, by=by, owner=owner, plan=plan.plan)
    except PlanUnfit as unfit:
        raise unprocessable("command.resume.plan", "; ".join(unfit.reasons)) from None
    except AnswerUnfit as unfit:
        where = f"command.resume.{unfit.field}"
        raise unprocessable(where, "; ".join(unfit.reasons)) from None


def _addressed(given: Any, asked: str) -> Any:
    """The answer to this question, where answers come by the ids of their questions."""
    if not isinstance(given, dict) or not given or not all(map(_is_id, given)):
        return given
    if [*given] != [asked]:
        raise NothingAsked(f"the thread asks {asked}, and nothing else")
    return given[asked]


def _is_id(name: str) -> bool:
    return len(name) == _ID_LENGTH and all(digit in "0123456789abcdef" for digit in name)


def _read(kind: type[Any], given: Any) -> Any:
    if not isinstance(given, dict):
        raise unprocessable("command.resume", "decides nothing; see the question's response_schema")
    try:
        return kind.model_validate(given)
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False, include_context=False)[0]
        where = ".".join(["command", "resume", *map(str, fault["loc"])])
        raise unprocessable(where, f"{fault['msg']}; see the question's response_schema") from None
