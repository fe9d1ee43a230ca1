"""What is checked: a plan before anything is executed, and JSON that models and callers give.

A plan is checked whichever planner made it, with the tools of this moment, which may no longer be
what they were when it was planned, or approved. An answer in a shape is held to the JSON Schema by
which a caller has described that.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from graph.state import (
    Limits,
    RunState,
    Step,
)
from nodes.contract.steps import (
    InvalidOutput,
    InvalidReference,
    has_reference,
    plain,
    references,
    resolve,
)
from tools.toolbox import Tool, ToolSnapshot, absence, definition_of, snapshot


class RunTools(ToolSnapshot):
    """The tools that a run may use, where these are not all of its owner."""


def run_tools(state: RunState, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
    """The tools of this moment that a run may use: all of its owner, unless it was told which."""
    tools = snapshot(tools, state["owner"])
    choice = state.get("choice")
    if not choice or choice["tools"] is None:
        return tools
    absent = tools.absent if isinstance(tools, ToolSnapshot) else {}
    return RunTools({name: tools[name] for name in choice["tools"] if name in tools}, absent)


def check_plan(
    steps: Sequence[Step],
    tools: Mapping[str, Tool],
    limits: Limits,
    *,
    first: int = 1,
    done: Collection[int] = (),
) -> list[str]:
    """Why this plan must not be executed; empty when it may.

    Tools exist, inputs fit their schemas and a checkpoint can hold them, references point to
    earlier steps, limits hold. A later round begins with step `first`, and its references may point
    to the steps before that are `done`.
    A value that holds a reference is checked again when the reference is resolved.
    """
    if not steps:
        return ["the plan has no steps"]
    if (count := first - 1 + len(steps)) > limits["max_steps"]:
        before = f", {first - 1} of them before" if first > 1 else ""
        return [f"the plan has {count} steps{before}; at most {limits['max_steps']} are allowed"]
    reasons = []
    for number, step in enumerate(steps, start=first):
        if step["step"] != number:
            reasons.append(f"step {number} is numbered {step['step']}; steps count from {first}")
        known = {*done, *range(first, number)}
        found = _check_step(number, step, tools, limits["max_output"], known)
        reasons += [f"step {number}: {reason}" for reason in found]
    return reasons


def _check_step(
    number: int,
    step: Step,
    tools: Mapping[str, Tool],
    max_input: int,
    known: Collection[int],
) -> list[str]:
    tool = tools.get(step["tool"])
    if tool is None:
        return [missing(step["tool"], tools)]
    try:
        # As the attempt will find it, when steps before it are done already.
        plain(step["input"], max_bytes=max_input, what="input")
        targets = [reference.step for reference in references(step["input"])]
    except (InvalidOutput, InvalidReference) as error:
        return [str(error)]
    reasons = [
        f"{{step_{target}_output}} does not come before it; {_usable(known)}"
        if target >= number
        else f"{{step_{target}_output}} is not there, since step {target} was not done;"
        f" {_usable(known)}"
        for target in targets
        if target not in known
    ]
    return reasons + input_errors(tool, step["input"])


def missing(name: str, tools: Mapping[str, Tool]) -> str:
    """Why none of these tools has this name, and which there are."""
    if away := absence(tools, name):
        return f"there is no tool {name!r} now; {away}"
    if isinstance(tools, RunTools):
        return f"this run may not use a tool {name!r}; it may use {', '.join(tools) or 'none'}"
    return f"there is no tool {name!r}; there are {', '.join(tools)}"


def _usable(known: Collection[int]) -> str:
    """Which steps can be referred to."""
    if not known:
        return "the first step can refer to none"
    last = max(known)
    if len(known) == last:
        return f"use steps 1 to {last}"
    return f"use steps {', '.join(map(str, sorted(known)))}"


def input_errors(tool: Tool, value: Mapping[str, Any]) -> list[str]:
    """What is wrong with an input, each with its field; parts that hold a reference pass."""
    depends = has_reference(value)
    if not depends:
        value = resolve(value, {})  # a limit on length is meant for the words, not their escapes
    return [
        f"{'.'.join(map(str, fault.place)) or 'input'} of {tool.name}: {fault.message}"
        for fault in tool.faults(value)
        if not (depends and _may_pass(value, fault.place, fault.kind))
    ]


def _may_pass(value: Any, location: tuple[int | str, ...], kind: str) -> bool:
    """Whether an error may be gone when references are resolved: the value it is about has one."""
    for position, key in enumerate(location):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            # A key that the input does not have is a missing field, or names a union's branch; of a
            # branch only the whole value can tell whether it will fit.
            is_missing_field = kind == "missing" and position == len(location) - 1
            return not is_missing_field and has_reference(value)
    return kind != "extra_forbidden" and has_reference(value)


def stamped(step: Step, tools: Mapping[str, Tool]) -> Step:
    """The step with what a server says of its tool; as it is where none has it."""
    tool = tools.get(step["tool"])
    if tool is None or tool.server is None:
        return step
    return {**step, "definition": definition_of(tool)}


def missed(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> list[str]:
    """Which steps from `cursor` on refer to one that is left out; one sentence for each."""
    return [
        f"step {reference.step} cannot be left out: step {step['step']} refers to it"
        f" as {reference.text}"
        for step in steps[cursor:]
        if step["step"] not in skipped
        for reference in references(step["input"])
        if reference.step in skipped
    ]


def escape(words: str) -> str:
    """A person's words as they must stand in an input, so that no brace is read as a reference."""
    return words.replace("{", "{{").replace("}", "}}")


def escaped(value: Any) -> Any:
    """An input that is to be taken as it stands: what `resolve` makes of it is the value."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


# JSON as RFC 8259 defines it; Python's parser takes NaN, and the last of two equal keys.


def loads(text: str) -> Any:
    """The value that `text` holds; guessing which of two equal keys was meant would be wrong.

    Raises `json.JSONDecodeError` for what is no JSON at all, `ValueError` for what is only nearly
    JSON, and `RecursionError` for what is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the key {name[:60]!r} is given twice; give it once")
        fields[name] = value
    return fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; use null or a number")


# A shape that a caller has described by a JSON Schema, and values in it.


#: The largest schema, in characters of its JSON: a model is sent all of it.
LONGEST_SCHEMA = 8_000

#: Keywords that are not checked here, so that what they forbid would be taken for fitting.
_UNCHECKED = ("unevaluatedItems", "unevaluatedProperties")

#: Keywords whose value is by names of the caller's, and those that have values and no schemas.
_BY_NAME = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_VALUES = frozenset(("const", "enum", "default", "examples"))

_MOST_REASONS, _LONGEST_REASON = 5, 200

_TOO_MUCH = "takes too much work to check"


def schema_fault(schema: Any) -> str | None:
    """Why no answer can be held to a schema, and what would be right; None where one can."""
    if not isinstance(schema, dict):
        return "it should be a JSON Schema, which is an object"
    try:
        size = len(json.dumps(plain(schema, max_bytes=4 * LONGEST_SCHEMA, what="schema")))
    except InvalidOutput as error:
        return str(error)
    if size > LONGEST_SCHEMA:
        return f"it has {size} characters of JSON; at most {LONGEST_SCHEMA} are allowed"
    keywords = [one for one in _schemas(schema) if isinstance(one, dict)]
    if unchecked := [name for name in _UNCHECKED if any(name in one for one in keywords)]:
        return f"it has {', '.join(unchecked)}, which is not checked here; leave that out"
    # Half a second to load, and needed by few.
    from tools.schema_budget import MAX_STEPS, Budget, Checker, Exhausted, InvalidSchema, holds

    try:
        Checker(schema).check(Budget(MAX_STEPS))
    except Exhausted:
        return f"it {_TOO_MUCH}; make it simpler"
    except InvalidSchema as error:
        return f"it is no JSON Schema: {_short(str(error))}"
    except Exception as error:  # whatever a caller's schema does to the library
        return f"it cannot be followed: {_why(error)}"
    for pattern in (found for one in keywords for found in _patterns(one)):
        if not holds(pattern):
            wrong = (
                f"it has the pattern {_short(json.dumps(pattern))}, which is invalid or too large"
            )
            return f"{wrong}; it should be a regular expression of ECMA 262"
    return None


def fitting(text: str, schema: Mapping[str, Any], *, max_bytes: int) -> tuple[Any, list[str]]:
    """The value in a model's text, and what is wrong with it; None where something is."""
    try:
        value = plain(loads(_unfenced(text)), max_bytes=max_bytes, what="value")
    except RecursionError:
        return None, ["it is nested too deeply"]
    except (ValueError, InvalidOutput) as error:
        return None, [f"it is not valid JSON: {_short(str(error))}"]
    reasons = list(_faults(value, schema))
    return (None, reasons) if reasons else (value, [])


def _faults(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    from tools.schema_budget import Checker, Exhausted

    try:
        for error in Checker(schema).errors(value, _MOST_REASONS):
            place = ".".join(map(str, error.absolute_path)) or "the value"
            yield f"{place}: {_short(error.message)}"
    except Exhausted:
        yield f"it {_TOO_MUCH}"
    except Exception as error:  # as above
        yield f"the schema cannot be followed: {_why(error)}"


def _schemas(schema: Any) -> Iterator[Any]:
    """The schema and all within it: what stands for a value, or only for a name, is none."""
    yield schema
    if isinstance(schema, list):
        for one in schema:
            yield from _schemas(one)
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            if keyword in _BY_NAME and isinstance(value, dict):
                for one in value.values():
                    yield from _schemas(one)
            elif keyword not in _VALUES:
                yield from _schemas(value)


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(pattern := schema.get("pattern"), str):
        yield pattern
    yield from schema.get("patternProperties", {})


def _why(error: Exception) -> str:
    """What the library could not do, without its names for it."""
    from referencing.exceptions import Unresolvable

    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, Unresolvable):
        return "it refers to something that is not there"
    return "it is not understood"


def _unfenced(text: str) -> str:
    """The text without the fence that models put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped[stripped.index("\n") : -3].strip()
    return stripped


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
