"""Reading a model's answer to the letter: what is cut, loose or unfit is rejected with reasons."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from graph.state import Limits, Step
from nodes.contract.outputs import InvalidOutput, plain
from nodes.contract.plan_check import check_plan
from nodes.planning.model import Completion
from tools.registry import Tool

#: What providers say when an answer is whole; without a word it is judged by its JSON alone.
WHOLE = frozenset({"stop", "tool_calls", "end_turn", None})


class AnswerRejected(Exception):
    """An answer that is no plan; `reasons` say exactly why, for the model and for the record."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)


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


def read_answer(completion: Completion, tools: Mapping[str, Tool], limits: Limits) -> list[Step]:
    """The checked steps of an answer; none where the model found no fitting tool.

    Raises `AnswerRejected`.
    """
    if completion.finish_reason not in WHOLE:
        raise AnswerRejected(f"the answer is not whole: it ended with {completion.finish_reason}")
    answer = _parsed(completion.text)
    steps = [_step(number, given, tools) for number, given in enumerate(answer.steps, start=1)]
    if steps and (reasons := check_plan(steps, tools, limits)):
        raise AnswerRejected(*reasons)
    return steps


def _parsed(text: str) -> _Answer:
    try:
        return _Answer.model_validate(_json(_unfenced(text)))
    except ValidationError as invalid:
        raise AnswerRejected(
            *(
                f"{'.'.join(map(str, error['loc'])) or 'the answer'}: {error['msg']}"
                for error in invalid.errors(include_url=False, include_context=False)[:5]
            )
        ) from None


def _unfenced(text: str) -> str:
    """Models put their JSON between fences even when told not to; nothing else is forgiven."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and stripped.count("```") == 2:
        return stripped.removeprefix("```").removeprefix("json").removesuffix("```").strip()
    return stripped


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AnswerRejected(f"it is not valid JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(unique := dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return unique


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _step(number: int, given: _Answered, tools: Mapping[str, Tool]) -> Step:
    return Step(
        step=number,
        tool=given.tool,
        input=_without_nulls(_input(number, given), tools.get(given.tool)),
        reasoning=given.reasoning[:200],
        span=None,
    )


def _input(number: int, given: _Answered) -> dict[str, Any]:
    value = given.input if given.input_json is None else _json(given.input_json)
    if not isinstance(value, dict):
        raise AnswerRejected(f"step {number}: the input must be an object of the tool's arguments")
    try:
        kept: dict[str, Any] = plain(value, max_bytes=64 * 1024, what="input")
    except InvalidOutput as error:
        raise AnswerRejected(f"step {number}: {error}") from None
    return kept


def _without_nulls(value: dict[str, Any], tool: Tool | None) -> dict[str, Any]:
    """Null stands for "left out" where the schema could not say that a property is optional."""
    if tool is None:
        return value
    fields = tool.schema_model.model_fields
    return {
        name: item
        for name, item in value.items()
        if item is not None or name not in fields or fields[name].is_required()
    }
