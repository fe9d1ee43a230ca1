"""The JSON schema of an answer, built from the tools, in the subset that every provider enforces.

Closed objects, every property required, `anyOf`, no defaults and no bounds: strict modes refuse
more, and an open object would come back empty. What it leaves out, the tool's own schema checks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from tools.registry import MOST_SCHEMAS, Tool

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
    return _step({"type": "string", "enum": [tool]}, {"input": _strict(arguments)})


def _compact(tools: list[str]) -> JsonSchema:
    return _step({"type": "string", "enum": tools}, {"input_json": {"type": "string"}})


def _step(tool: JsonSchema, given: JsonSchema) -> JsonSchema:
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
