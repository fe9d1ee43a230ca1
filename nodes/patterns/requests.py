"""What a reader makes of a clause: calls of tools, not yet numbered."""

from dataclasses import dataclass
from typing import Any

CALCULATOR = "calculator"
STORE = "todo_store."


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `start` and `end` are the words of the prompt that ask for it."""

    tool: str
    input: dict[str, Any]
    reasoning: str
    start: int
    end: int


def calculation(expression: str, start: int, end: int) -> Call:
    """A call of the calculator."""
    return Call(CALCULATOR, {"expression": expression}, "asks for a value", start, end)


def literal(text: str) -> str:
    """The user's own words as an input: braces would be read as references otherwise."""
    if "{" in text or "}" in text:
        return text.replace("{", "{{").replace("}", "}}")
    return text
