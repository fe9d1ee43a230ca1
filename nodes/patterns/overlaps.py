"""Own phrases that take sentences away from the built-in language, for `doctor` and the start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nodes.patterns.own_phrases import own_phrases, spoken
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import Tool, make_tools


@dataclass(frozen=True, slots=True)
class Overlap:
    """A phrase of a tool whose sentences the tool `instead_of` understood before."""

    tool: str
    phrase: str
    instead_of: str

    def __str__(self) -> str:
        return (
            f"the phrase {self.phrase!r} of tool {self.tool!r} takes sentences away from "
            f"{self.instead_of!r}"
        )


def overlapping_phrases(tools: Mapping[str, Tool]) -> Iterator[Overlap]:
    """Every own phrase that the built-in sentences of these tools would understand as well.

    Raises `InvalidPhrase` when a phrase is no good.
    """
    phrases = own_phrases(tools)
    if not phrases:
        return
    planner = PatternPlanner(
        {name: tool for name, tool in make_tools(BUILTIN).items() if name in tools}
    )
    for phrase in phrases:
        steps = planner.read(spoken(phrase)).steps
        if steps:
            yield Overlap(phrase.tool, phrase.line, steps[0]["tool"])
