"""What a reader makes of a clause: calls of tools, not yet numbered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nodes.patterns.grammar.phrases import phrase_set

CALCULATOR = "calculator"
STORE = "todo_store."


class Use(NamedTuple):
    """What the words from `start` to `end` of a prompt mean."""

    start: int
    end: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `start` and `end` are the words of the prompt that ask for it.

    `uses` says which of them mean what, where not all of them mean the request as a whole.
    """

    tool: str
    input: dict[str, Any]
    reasoning: str
    start: int
    end: int
    uses: tuple[Use, ...] = ()


def calculation(expression: str, start: int, end: int, used: tuple[int, int] | None = None) -> Call:
    """A call of the calculator, for words of which those in `used` are the expression."""
    uses = (Use(*used, "calculation"),) if used else ()
    return Call(CALCULATOR, {"expression": expression}, "asks for a value", start, end, uses)


def literal(text: str) -> str:
    """The user's own words as an input: braces would be read as references otherwise."""
    if "{" in text or "}" in text:
        return text.replace("{", "{{").replace("}", "}}")
    return text


# What "it", "that" and "the result" stand for: the output of an earlier step.


#: Words for a value that was computed before.
RESULTS = phrase_set(
    [
        "it|that|this|them",
        "[the|that|this|its|my|your] [last|previous|final|above] "
        "(result|answer|total|output|outcome|value|number|sum|product|quotient|difference)",
        "(the result|the answer|the output|the value|the total) (of|from) "
        "(that|it|this|the calculation|the last step|the first step|the previous step|step one)",
        "what (you|i|we) (get|got)",
    ]
)

#: Words for a to-do that was named before.
TODOS = phrase_set(
    [
        "it|that|this",
        "(that|this|the|the new|that new|the same|that same) (one|todo|to do|task|item|chore)",
    ]
)

_RECORDS = frozenset(STORE + name for name in ("add", "get", "update", "complete"))


class Earlier:
    """The steps planned so far, as far as later words can refer to them."""

    def __init__(self) -> None:
        self.steps = 0
        self.last: str | None = None  # the tool of the last step
        self.about_todos = False  # whether the last step was about to-dos
        self.results: list[str] = []  # references to the values computed so far
        self.result: str | None = None  # to the latest output that is more than a to-do
        self.todo: str | None = None  # to the id of the to-do that the last step handled

    def follow(self, tool: str) -> None:
        """Take note of one more step."""
        self.steps += 1
        self.last = tool
        self.about_todos = tool.startswith(STORE)
        self.todo = f"{{step_{self.steps}_output.id}}" if tool in _RECORDS else None
        if not self.about_todos:
            self.result = f"{{step_{self.steps}_output}}"
        if tool == CALCULATOR:
            self.results.append(f"{{step_{self.steps}_output}}")

    def and_then(self, tool: str) -> "Earlier":
        """These steps and one more."""
        later = Earlier()
        later.steps, later.last, later.about_todos = self.steps, self.last, self.about_todos
        later.results, later.result, later.todo = [*self.results], self.result, self.todo
        later.follow(tool)
        return later

    @property
    def number(self) -> str | None:
        """A reference to the latest computed value."""
        return self.results[-1] if self.results else None


def is_whole(table_words: Sequence[str], start: int, end: int, *, todo: bool = False) -> bool:
    """Whether the words are nothing but a reference."""
    found = (TODOS if todo else RESULTS).longest(table_words, start, end)
    return found is not None and found[0] == end
