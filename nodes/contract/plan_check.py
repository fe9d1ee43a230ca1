"""The check that every plan passes before anything is executed, whichever planner made it.

It is made with the tools of this moment, which may no longer be what they were when a plan was
made with them, or approved.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graph.state import Limits, PlannedTool, RunState, Step
from graph.state.rounds import approval_of, rounds_of
from nodes.contract.json_data import (
    InvalidOutput,
    InvalidReference,
    has_reference,
    plain,
    references,
    resolve,
)
from tools.registry import Tool
from tools.toolbox import ToolSnapshot, absence, changes, definition_of, snapshot


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


def changed_since_asked(state: RunState, tools: Mapping[str, Tool]) -> dict[str, list[str]]:
    """The servers' tools that are no longer what a person was shown who was asked about them.

    By their names, each with what has changed.
    """
    asked = [*(entry["approval"] for entry in rounds_of(state)), approval_of(state)]
    shown = {
        planned["tool"]: planned["definition"]
        for approval in asked  # the latest last
        if approval
        for planned in approval["tools"]
        if "definition" in planned
    }
    found = {
        name: changes(definition, definition_of(tool))
        for name, definition in shown.items()
        if (tool := tools.get(name))
    }
    return {name: changed for name, changed in found.items() if changed}


def changed_since_planned(state: RunState, step: Step, tool: Tool | None) -> list[str]:
    """What has changed of the tool of a step about which nobody was asked."""
    approval = approval_of(state)
    asked = approval["tools"] if approval else ()
    if tool is None or "definition" not in step or any(one["tool"] == tool.name for one in asked):
        return []
    return changes(step["definition"], definition_of(tool))


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
