"""What a person is asked, about a plan or a step in doubt, and how the answer is read.

A plan that a person gives instead of the proposed one is read as strictly as a model's.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.state import (
    Approve,
    Attempt,
    EditedPlan,
    Limits,
    PlannedTool,
    Question,
    ResolvedAs,
    RunError,
    RunState,
    Step,
    attempts,
    outputs,
    run_error,
)
from graph.state.rounds import approval_of, asked_about, rounds_of
from nodes.contract.checks import check_plan, missed
from nodes.contract.steps import InvalidOutput, plain
from tools.toolbox import Tool, definition_of

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


def check_left(state: RunState, tools: Mapping[str, Tool], limits: Limits) -> None:
    """Raise `PlanUnfit` where the steps that are left must not be executed."""
    cursor = state["cursor"]
    left = state["plan"]["steps"][cursor:]
    if reasons := check_plan(left, tools, limits, first=cursor + 1, done=outputs(state)):
        raise PlanUnfit(reasons)


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


# Whether a plan is to be executed.


_HOW_TO_APPROVE = (
    "resume with true to approve the plan, false to reject it, or an object:"
    ' {"plan": {"steps": […]}} approves an edited plan,'
    ' {"what": "rejected", "reason": "…"} rejects it with a reason'
)


class PlanReply(BaseModel):
    """What the graph is resumed with, by the server as by Studio."""

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["approved", "rejected", "expired"]
    at: float | None = Field(None, ge=0, allow_inf_nan=False)
    by: str = "whoever resumed it"
    reason: str | None = None
    plan: Any = None
    question: int | None = None


class Unclear(Exception):
    """An answer that decides nothing; `reasons` say what would."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def plan_question(
    state: RunState, tools: Mapping[str, Tool], reasons: Sequence[str] = ()
) -> dict[str, Any]:
    """What a person is asked about a plan; `reasons` say why it is asked again."""
    # Of a later round its own steps, which an edited plan would replace.
    first = 1 if asked_about(state) is None else first_editable(state)
    marked = state["log"][-1] if state.get("log") else None
    if marked and marked["kind"] == "mark" and marked["what"] == "changed":
        reasons = (str(marked["detail"]), *reasons)
    return {
        "question": f"Is this plan to be executed? {_HOW_TO_APPROVE}.",
        "plan": {"steps": state["plan"]["steps"][first - 1 :]},
        "tools": tools_of(state["plan"]["steps"][state["cursor"] :], tools),
        "reasons": [*reasons],
    }


def read_plan_reply(given: object) -> PlanReply:
    """The answer that was meant. Raises `Unclear`."""
    if isinstance(given, bool):
        given = {"what": "approved" if given else "rejected"}
    if not isinstance(given, dict):
        raise Unclear([_HOW_TO_APPROVE])
    answer = {"what": "approved", **given} if given.get("plan") is not None else given
    try:
        return PlanReply.model_validate(answer)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=False)
        raise Unclear(
            [
                _HOW_TO_APPROVE,
                *(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults),
            ]
        ) from None


def refusal_of(state: RunState, answer: PlanReply) -> RunError:
    """The error of a run whose plan nobody has approved."""
    # Of a run that was retried or forked, steps may have been executed before it was asked about.
    undone = "nothing more was done" if attempts(state) else "nothing was done"
    if answer.what == "expired":
        approval = approval_of(state)
        days = (approval["expires_at"] - approval["asked_at"]) / 86_400 if approval else 0
        within = f"{days:g} days" if days >= 1 else f"{days * 86_400:g} s"
        message = f"nobody approved the plan within {within}; {undone}"
        return run_error("cancelled", message)
    why = f": {answer.reason}" if answer.reason else ""
    return run_error("rejected", f"the plan was rejected{why}; {undone}")


# The tools of a plan: what a person wants to know who is asked about it.


def tools_of(steps: Sequence[Step], tools: Mapping[str, Tool]) -> list[PlannedTool]:
    """The tools that a plan uses, in the order of their first use."""
    used: dict[str, PlannedTool] = {}
    for step in steps:
        name, tool = step["tool"], tools.get(step["tool"])
        effects = tool is None or tool.effects
        planned = used.setdefault(name, PlannedTool(tool=name, effects=effects, steps=[]))
        planned["steps"].append(step["step"])
        if tool and tool.server:
            planned["definition"] = definition_of(tool)
        if tool and (scope := tool.scope(step["input"])):
            planned.setdefault("scope", []).append(f"step {step['step']}: {scope}")
    return list(used.values())


def needs_approval(
    steps: Sequence[Step], tools: Mapping[str, Tool], approve: Approve
) -> list[PlannedTool]:
    """The tools of a plan about which `approve` wants a person to be asked; else none."""
    if approve == "never":
        return []
    used = tools_of(steps, tools)
    if approve == "effects" and not any(tool["effects"] for tool in used):
        return []
    return used


def with_changes(used: list[PlannedTool], changed: Mapping[str, list[str]]) -> list[PlannedTool]:
    """The tools of a plan, those that have changed with what has."""
    return [
        {**one, "changed": changed[one["tool"]]} if one["tool"] in changed else one for one in used
    ]


def in_words(changed: Mapping[str, list[str]]) -> str:
    """What has changed, in a sentence."""
    parts = "; ".join(
        f"{name}: its {', '.join(what).replace('_', ' ')}" for name, what in changed.items()
    )
    return f"a server has changed its tool since somebody approved the plan ({parts})"


# Whether a step in doubt has acted.


#: What each answer means.
ANSWERS: Mapping[ResolvedAs, str] = {
    "done": "it has acted, and the run goes on with its output",
    "redo": "it has not acted, or may act once more: it is called again",
    "skip": "the run goes on without it",
    "fail": "the run fails",
}

_HOW_TO_RESOLVE = (
    'resume with "done", "redo", "skip" or "fail", or with an object:'
    ' {"as": "done", "output": …} says what it has returned'
)


class AnswerUnfit(Exception):
    """An answer that cannot be carried out; `reasons` say why, about the part `field` of it."""

    def __init__(self, field: str, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = reasons


class DoubtReply(BaseModel):
    """What the graph is resumed with then, by the server as by Studio."""

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["resolved", "expired"] = "resolved"
    decided: ResolvedAs = Field(alias="as")
    output: Any = None
    question: int | None = None
    at: float | None = Field(None, ge=0, allow_inf_nan=False)
    by: str = "whoever resumed it"
    learned: dict[str, Any] | None = None


def checked_answer(state: RunState, attempt: Attempt, decided: ResolvedAs, output: Any) -> Any:
    """The output as it is kept. Raises `AnswerUnfit` for what cannot be carried out."""
    if decided != "done":
        if output is not None:
            raise AnswerUnfit("output", [f"an output goes with done only, not with {decided}"])
        if decided == "skip":
            _check_skip(state, attempt["step"])
        return None
    try:
        return plain(output, max_bytes=state["limits"]["max_output"])
    except InvalidOutput as error:
        raise AnswerUnfit("output", [str(error)]) from None


def _check_skip(state: RunState, step: int) -> None:
    steps, skipped = state["plan"]["steps"], {*state.get("skipped", []), step}
    if reasons := missed(steps, skipped, state["cursor"]):
        raise AnswerUnfit("as", list(dict.fromkeys(reasons)))


def failure_text(question: Question, answer: DoubtReply) -> str:
    """Why a step in doubt is taken as failed."""
    attempt = question["attempt"]
    about = f"step {attempt['step']} ({attempt['tool']})"
    if answer.what == "expired":
        return f"nobody said in time whether {about} has acted"
    error = attempt["error"]
    known = f": {error['message']}" if error else ""
    return f"{about} was in doubt and is taken as failed{known}"


def doubt_question(question: Question, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """What a person is asked about a step in doubt; `reasons` say why it is asked again."""
    attempt = question["attempt"]
    error = attempt["error"]
    return {
        "question": f"Has step {attempt['step']} ({attempt['tool']}) acted? {_HOW_TO_RESOLVE}.",
        "step": attempt["step"],
        "tool": attempt["tool"],
        "input": attempt["input"],
        "known": error and error["message"],
        "expires_at": question["expires_at"],
        "answers": dict(ANSWERS),
        "reasons": [*reasons],
    }


def read_doubt_reply(given: object) -> DoubtReply:
    """The answer that was meant. Raises `AnswerUnfit`."""
    if isinstance(given, str):
        given = {"as": given}
    if not isinstance(given, dict):
        raise AnswerUnfit("as", [_HOW_TO_RESOLVE])
    try:
        return DoubtReply.model_validate(given)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=False)
        lines = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise AnswerUnfit("as", [_HOW_TO_RESOLVE, *lines]) from None


def learned_text(value: Any, error: BaseException | None, longest: int) -> str:
    """What a call has returned or raised, in few words."""
    if error is not None:
        return type(error).__name__
    try:
        text = json.dumps(plain(value, max_bytes=64 * longest), ensure_ascii=False)
    except Exception:  # whatever an object's own methods do when it is looked at
        return f"a value of type {type(value).__name__} that is no plain data"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
