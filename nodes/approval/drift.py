"""Tools of servers that are no longer what they were when they were planned with or approved."""

from collections.abc import Mapping

from graph.state import PlannedTool, RunState, Step
from graph.state.rounds import approval_of, rounds_of
from tools.registry import Tool
from tools.toolbox import changes, definition_of


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
