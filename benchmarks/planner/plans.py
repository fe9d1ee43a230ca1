r"""Plans in short form, as our own prompts and the documentation write what is expected.

    add "buy milk"; list open           two steps
    = 36                                one calculation with this value, however it is written
    = error                             one calculation that the calculator refuses
    delete all | refused                either is right
    update "1" to "Walk the cat"
    list count open, list exists "milk"
    complete ["1", "3"]
    read_file path ".env"               a tool of one's own: its name, then its arguments

Texts stand in JSON's quotes; a reference and braces are written as a plan has them:
`add "pay {step_1_output}"`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from graph.state import Step
from tools.calculator import calculate
from tools.registry import ToolError

#: How far two values may be apart, as a share of the expected one: roots are rounded.
TOLERANCE = Fraction(1, 10**9)
#: What a list is asked with where nothing is said.
_LIST_DEFAULTS = {"status": "all", "show": "items"}
_OPERATIONS = ("add", "list", "get", "update", "complete", "delete")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[;|,]|[^\s;|,"]+')
_REFERENCE = re.compile(r"\{step_(\d+)_output\}")


class Verdict(StrEnum):
    """What a plan is worth; `WRONG` is neither what was expected nor a refusal."""

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "silently wrong"


@dataclass(frozen=True)
class ExpectedStep:
    """A tool with its input, or, for the calculator, the value; None where it is an error."""

    tool: str
    input: dict[str, Any]
    value: Fraction | None = None


@dataclass(frozen=True)
class Expected:
    """The plans that are right for a prompt; the one without steps is a refusal."""

    plans: tuple[tuple[ExpectedStep, ...], ...]

    def verdict(self, steps: Sequence[Step]) -> Verdict:
        """What `steps` are worth. A calculation that must fail answers nothing: a refusal."""
        if any(_is(plan, steps) for plan in self.plans):
            return Verdict.RIGHT
        if not steps or _fails(steps):
            return Verdict.RIGHT if () in self.plans else Verdict.REFUSED
        return Verdict.WRONG


def read_plans(text: str) -> Expected:
    """What is written in short form; raises `ValueError` where it is none."""
    plans: list[tuple[ExpectedStep, ...]] = []
    for tokens in _divided(_TOKEN.findall(text), "|"):
        if tokens == ["refused"]:
            plans.append(())
        else:
            plans.append(tuple(_step(step) for step in _divided(tokens, ";")))
    return Expected(tuple(plans))


def short_form(steps: Sequence[Step]) -> str:
    """The steps of a plan in short form; a calculation as its expression."""
    return "; ".join(_shown(step["tool"], step["input"]) for step in steps) or "refused"


def _divided(tokens: list[str], sign: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == sign:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _step(tokens: list[str]) -> ExpectedStep:
    match tokens:
        case ["=", "error"]:
            return ExpectedStep("calculator", {})
        case ["=", value]:
            return ExpectedStep("calculator", {}, Fraction(value))
        case ["add", text]:
            return ExpectedStep("todo_store.add", {"text": json.loads(text)})
        case ["list", *rest]:
            return ExpectedStep("todo_store.list", _list_input(rest))
        case [("get" | "complete" | "delete") as operation, todo]:
            meant = "all" if todo == "all" else json.loads(todo)
            return ExpectedStep(f"todo_store.{operation}", {"todo": meant})
        case ["update", todo, "to", text]:
            given = {"todo": json.loads(todo), "text": json.loads(text)}
            return ExpectedStep("todo_store.update", given)
        case [tool, *rest] if tool not in _OPERATIONS and len(rest) % 2 == 0:
            names, values = rest[::2], map(json.loads, rest[1::2])
            return ExpectedStep(tool, dict(zip(names, values, strict=True)))
    raise ValueError(f"no step in short form: {' '.join(tokens)}")


def _list_input(tokens: list[str]) -> dict[str, Any]:
    match tokens:
        case []:
            return {}
        case [("open" | "completed") as status, *rest]:
            return {"status": status, **_list_input(rest)}
        case ["count", *rest]:
            return {"show": "count", **_list_input(rest)}
        case ["exists", text, *rest]:
            return {"show": "exists", "text": json.loads(text), **_list_input(rest)}
    raise ValueError(f"no way to ask for the list: {' '.join(tokens)}")


def _is(plan: Sequence[ExpectedStep], steps: Sequence[Step]) -> bool:
    return len(plan) == len(steps) and all(
        _is_step(expected, steps, at) for at, expected in enumerate(plan)
    )


def _is_step(expected: ExpectedStep, steps: Sequence[Step], at: int) -> bool:
    step = steps[at]
    if step["tool"] != expected.tool:
        return False
    if expected.tool == "calculator":
        try:
            return _same_value(_value(steps, at), expected.value)
        except ToolError:
            return expected.value is None
    return _input(step["tool"], step["input"]) == expected.input


def _input(tool: str, given: dict[str, Any]) -> dict[str, Any]:
    if tool != "todo_store.list":
        return given
    return {name: value for name, value in given.items() if value != _LIST_DEFAULTS.get(name)}


def _same_value(value: Fraction, expected: Fraction | None) -> bool:
    return expected is not None and abs(value - expected) <= TOLERANCE * max(1, abs(expected))


def _fails(steps: Sequence[Step]) -> bool:
    for at, step in enumerate(steps):
        if step["tool"] == "calculator":
            try:
                _value(steps, at)
            except ToolError:
                return True
    return False


def _value(steps: Sequence[Step], at: int) -> Fraction:
    """The value of a calculation, with those of the earlier ones that it refers to."""

    def earlier(found: re.Match[str]) -> str:
        value = _value(steps, int(found[1]) - 1)
        return f"({value})" if value.denominator != 1 else str(value)

    expression = _REFERENCE.sub(earlier, str(steps[at]["input"]["expression"]))
    return Fraction(str(calculate(expression)))


def _shown(tool: str, given: dict[str, Any]) -> str:
    operation = tool.removeprefix("todo_store.")
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in given.items()}
    match operation, quoted:
        case "calculator", {"expression": _}:
            return f"= {given['expression']}"
        case "add", {"text": text}:
            return f"add {text}"
        case "update", {"todo": todo, "text": text}:
            return f"update {todo} to {text}"
        case (("get" | "complete" | "delete"), {"todo": '"all"'}):
            return f"{operation} all"
        case (("get" | "complete" | "delete"), {"todo": todo}):
            return f"{operation} {todo}"
        case "list", _:
            words = [str(given[name]) for name in ("status", "show") if name in given]
            return " ".join(["list", *words, *([quoted["text"]] if "text" in given else [])])
    return " ".join([tool, *(f"{name} {value}" for name, value in quoted.items())])
