"""Reading a model's answer to the letter: what is cut, loose or unfit is rejected with reasons."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from graph.state import Limits, Step, Then
from nodes.contract.json_data import InvalidOutput, loads, plain, storable
from nodes.contract.plan_check import check_plan
from nodes.planning.model import Completion
from tools.registry import Tool

#: What providers say when an answer is whole; without a word it is judged by its JSON alone.
WHOLE = frozenset({"stop", "tool_calls", "end_turn", None})

_MAX_INPUT = 64 * 1024  # bytes of a step's input


class AnswerRejected(Exception):
    """An answer that is no plan; `reasons` say exactly why, for the model and for the record.

    `steps` are those of an answer that reads as a plan and fails the plan check.
    """

    def __init__(self, *reasons: str, steps: Sequence[Step] = ()) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)
        self.steps = list(steps)


class _Answered(BaseModel):
    """A step as models give it: `input`, or `input_json` in the compact form."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reasoning: str = ""
    tool: str
    input: dict[str, Any] | None = None
    input_json: str | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    steps: list[_Answered]
    then: Then = "done"
    answer: str | None = None


@dataclass(frozen=True)
class PlanAnswer:
    """What a model wants: checked steps, what is to follow them, and words for the caller."""

    steps: list[Step]
    then: Then
    answer: str | None


def read_answer(
    completion: Completion,
    tools: Mapping[str, Tool],
    limits: Limits,
    *,
    first: int = 1,
    done: Collection[int] = (),
) -> PlanAnswer:
    """The answer with its steps checked, numbered from `first`; they may refer to those `done`.

    Raises `AnswerRejected`.
    """
    if completion.finish_reason not in WHOLE:
        raise AnswerRejected(f"the answer is not whole: it ended with {completion.finish_reason}")
    answer = _parsed(completion.text)
    steps = [_step(number, given, tools) for number, given in enumerate(answer.steps, start=first)]
    if steps and (reasons := check_plan(steps, tools, limits, first=first, done=done)):
        raise AnswerRejected(*reasons, steps=steps)
    if steps and answer.then == "refuse":
        raise AnswerRejected('then: "refuse" goes with no steps', steps=steps)
    return PlanAnswer(steps, answer.then, answer.answer)


def wanted(text: str) -> str:
    """The words of an answer that asks to be told of tools; empty of any other."""
    try:
        answer = _parsed(text)
    except AnswerRejected:
        return ""
    return (answer.answer or "") if answer.then == "look" else ""


def said(text: str) -> str:
    """The words of an answer that ends a run without further steps; empty of any other."""
    try:
        answer = _parsed(text)
    except AnswerRejected:
        return ""
    return (answer.answer or "").strip() if answer.then == "done" and not answer.steps else ""


def _parsed(text: str) -> _Answer:
    try:
        return _Answer.model_validate(_json(_unwrapped(text)))
    except ValidationError as invalid:
        raise AnswerRejected(
            *(
                f"{'.'.join(map(str, error['loc'])) or 'the answer'}: {_fault(error)}"
                for error in invalid.errors(include_url=False, include_context=False)
            )
        ) from None


def _fault(error: ErrorDetails) -> str:
    # Pydantic would name our own class.
    return "Input should be an object" if error["type"] == "model_type" else error["msg"]


#: How models mark what they thought, where their server leaves it in the answer.
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)

_FENCE = re.compile(r"[^`]*```[ \t]*(?:json)?(?P<inside>[^`].*)```", re.IGNORECASE | re.DOTALL)


def _unwrapped(text: str) -> str:
    """What models put around their JSON even when told not to: thoughts, words before, a fence.

    Nothing may follow it, and a thought that does not end has no answer after it.
    """
    stripped = text.strip().removeprefix("\ufeff").strip()
    if stripped.startswith("{"):
        return stripped
    *_, last = [None, *_THOUGHT.finditer(stripped)]
    if last is not None:
        if not last[1]:
            return stripped
        stripped = stripped[last.end() :].strip()
    if stripped.count("```") == 2 and (fence := _FENCE.fullmatch(stripped)):
        return fence["inside"].strip()
    return stripped[max(0, stripped.find("{")) :]


def _json(text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise AnswerRejected(f"it is not valid JSON: {error}") from None


def _step(number: int, given: _Answered, tools: Mapping[str, Tool]) -> Step:
    value = _input(number, given)
    if tool := tools.get(given.tool):
        _drop_nulls(value, tool)
    # Half a surrogate pair, which no checkpoint holds, is not worth a rejection here.
    reasoning = storable(given.reasoning[:200])
    return Step(step=number, tool=given.tool, input=value, reasoning=reasoning, span=None)


def _input(number: int, given: _Answered) -> dict[str, Any]:
    if given.input is not None and given.input_json is not None:
        raise AnswerRejected(f"step {number}: it has both an input and an input_json")
    try:
        value = given.input if given.input_json is None else _json(given.input_json)
        if not isinstance(value, dict):
            raise AnswerRejected("the input must be an object of the tool's arguments")
        kept: dict[str, Any] = plain(value, max_bytes=_MAX_INPUT, what="input")
    except (AnswerRejected, InvalidOutput) as error:
        raise AnswerRejected(f"step {number}: {error}") from None
    return kept


def _drop_nulls(value: dict[str, Any], tool: Tool) -> None:
    """Take out the nulls that the tool does not take.

    A strict schema has no optional properties, so null is how a model leaves one out.
    """
    for fault in tool.faults(value):
        if fault.value is None:
            _drop_null(value, fault.place)


def _drop_null(value: Any, location: Sequence[int | str]) -> None:
    for key in location:
        if isinstance(value, dict) and key in value:
            if value[key] is None:
                del value[key]
                return
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key]
        # Otherwise it names the branch of a union, which is no place in the value.
