"""What a model is to answer in, and how its answer is read.

The JSON schema is built from the tools, in the subset that every provider enforces: closed objects,
every property required, `anyOf`, no defaults and no bounds. Strict modes refuse more, and an open
object would come back empty. What it leaves out, the tool's own schema checks. An answer is read to
the letter: what is cut, loose or unfit is rejected with reasons.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from graph.state import Limits, Step, Then
from nodes.contract.checks import check_plan, loads
from nodes.contract.steps import InvalidOutput, plain, storable
from nodes.planning.model import Completion
from tools.toolbox import MOST_SCHEMAS, Tool

#: Above this many characters of JSON the compact form is sent.
MAX_UNION = 8_000

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class AnswerForm:
    """How a model is to answer.

    `union`: `input` is an object with the tool's own arguments, one branch a tool. `compact`:
    `input_json` is text that holds them, for many tools or for arguments of open shape.
    """

    kind: Literal["union", "compact"]
    schema: JsonSchema


def answer_form(tools: Mapping[str, Tool], *, max_union: int = MAX_UNION) -> AnswerForm:
    """The form for these tools: the union while it is small and every argument is closed."""
    inputs = {name: arguments_schema(tool) for name, tool in tools.items()}
    if not any(_is_open(schema) for schema in inputs.values()):
        union = _plan([_branch(name, schema) for name, schema in inputs.items()])
        if len(json.dumps(union)) <= max_union:
            return AnswerForm("union", union)
    return AnswerForm("compact", _plan([_compact(list(tools))]))


def arguments_schema(tool: Tool) -> JsonSchema:
    """A tool's own schema with its `$ref`s replaced; one that refers to itself is open there.

    It is the same object every time, and nobody's to change.
    """
    return _inlined(json.dumps(tool.json_schema))


@lru_cache(MOST_SCHEMAS)
def _inlined(text: str) -> JsonSchema:
    schema = json.loads(text)
    definitions = schema.get("$defs", {})

    def inline(part: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(part, list):
            return [inline(item, inside) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return {} if name in inside else inline(definitions[name], (*inside, name))
        return {key: inline(value, inside) for key, value in part.items() if key != "$defs"}

    inlined: JsonSchema = inline(schema, ())
    return inlined


def _plan(branches: list[JsonSchema]) -> JsonSchema:
    step = branches[0] if len(branches) == 1 else {"anyOf": branches}
    return _closed(
        {
            "steps": {"type": "array", "items": step},
            # After the steps, since models write in order.
            "then": {"type": "string", "enum": ["done", "look", "refuse"]},
            "answer": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        }
    )


def _branch(tool: str, arguments: JsonSchema) -> JsonSchema:
    return _step_schema({"type": "string", "enum": [tool]}, {"input": _strict(arguments)})


def _compact(tools: list[str]) -> JsonSchema:
    return _step_schema({"type": "string", "enum": tools}, {"input_json": {"type": "string"}})


def _step_schema(tool: JsonSchema, given: JsonSchema) -> JsonSchema:
    return _closed({"reasoning": {"type": "string"}, "tool": tool, **given})


def _closed(properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _strict(schema: JsonSchema) -> JsonSchema:
    """The schema in the common subset: whatever else it says, the tool's own schema still says."""
    if "anyOf" in schema or "oneOf" in schema:
        return {"anyOf": [_strict(part) for part in schema.get("anyOf") or schema["oneOf"]]}
    if schema.get("type") == "object":
        required = schema.get("required", [])
        return _closed(
            {
                name: _value(part if name in required else _nullable(part))
                for name, part in schema.get("properties", {}).items()
            }
        )
    strict: JsonSchema = {key: schema[key] for key in ("type", "enum") if key in schema}
    if "const" in schema:
        strict["enum"] = [schema["const"]]
    if "items" in schema:
        strict["items"] = _value(schema["items"])
    return strict


def _value(schema: JsonSchema) -> JsonSchema:
    """Whatever a value is, it may also be the text of a reference to an earlier output."""
    strict = _strict(schema)
    branches = strict.get("anyOf", [strict])
    if any(branch.get("type") == "string" for branch in branches):
        return strict
    return {"anyOf": [*branches, {"type": "string"}]}


def _nullable(schema: JsonSchema) -> JsonSchema:
    """Strict modes know no optional property: one that may be left out may be null instead."""
    branches = schema.get("anyOf") or schema.get("oneOf") or [schema]
    if any(branch.get("type") == "null" for branch in branches):
        return schema
    return {"anyOf": [*branches, {"type": "null"}]}


def _is_open(schema: Any) -> bool:
    """Whether some value in it may have any shape: an object of unnamed keys, or no type at all."""
    if not isinstance(schema, dict) or not schema.keys() & {
        "type",
        "anyOf",
        "oneOf",
        "enum",
        "const",
    }:
        return True
    if schema.get("type") == "object":
        # Named properties close an object, unless it says itself that it takes more.
        unnamed = schema.get("additionalProperties", "properties" not in schema)
        if unnamed is not False:
            return True
    if schema.get("type") == "array" and "items" not in schema:
        return True
    parts = [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
    ]
    if "items" in schema:
        parts.append(schema["items"])
    return any(_is_open(part) for part in parts)


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
