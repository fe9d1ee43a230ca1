"""The tools of a plan: what a person wants to know who is asked about it."""

from collections.abc import Mapping, Sequence

from graph.state import Approve, PlannedTool, Step
from tools.registry import Tool


def tools_of(steps: Sequence[Step], tools: Mapping[str, Tool]) -> list[PlannedTool]:
    """The tools that a plan uses, in the order of their first use."""
    used: dict[str, list[int]] = {}
    for step in steps:
        used.setdefault(step["tool"], []).append(step["step"])
    return [
        PlannedTool(tool=name, effects=name not in tools or tools[name].effects, steps=numbers)
        for name, numbers in used.items()
    ]


def to_be_asked_about(
    steps: Sequence[Step], tools: Mapping[str, Tool], approve: Approve
) -> list[PlannedTool]:
    """The tools of a plan about which `approve` wants a person to be asked; else none."""
    if approve == "never":
        return []
    used = tools_of(steps, tools)
    if approve == "effects" and not any(tool["effects"] for tool in used):
        return []
    return used
