"""What a reader makes of a clause: calls of tools, not yet numbered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


def refers_before(calls: Sequence[Call]) -> bool:
    """Whether calls refer to what was there before the first step."""
    return any("{step_0_output" in str(call.input) for call in calls)


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

_NAMED_RESULTS = 3  # "the third result" is the last that has a name of its own
_RECORDS = frozenset(STORE + name for name in ("add", "get", "update", "complete"))


class Before(Protocol):
    """What was there to refer to before the first step; references as those to steps."""

    #: Whether words of the prompt mean something else by it than they would alone.
    meant_otherwise: bool

    @property
    def results(self) -> list[str]:
        """To values."""

    @property
    def text(self) -> str | None:
        """To what can become the words of a to-do."""

    @property
    def name(self) -> str | None:
        """To the words by which it can be looked for."""

    @property
    def todo(self) -> str | None:
        """To the id of the one to-do."""

    @property
    def gone(self) -> str | None:
        """To the words of a to-do that was deleted."""

    def everyone(self) -> list[str] | None:
        """To the ids of all to-dos, where nothing says of which; None for those of the list."""

    def all_todos(self, symbols: Sequence[str]) -> list[str] | None:
        """To the ids of all to-dos, where the words are for all of them."""

    def at(self, place: str, symbols: Sequence[str]) -> str | None:
        """To the id of the to-do at a place, the place itself, or None where there is none."""


class Earlier:
    """The steps planned so far, as far as later words can refer to them.

    What was there `before` them is referred to only by the words of the first, but for places.
    """

    def __init__(self, before: Before | None = None) -> None:
        self.before = before
        self.conversation = before  # the same, whatever steps there are
        self.is_before = before is not None  # whether words refer to that, and to no step
        self.steps = 0
        self.last: str | None = None  # the tool of the last step
        self.about_todos = False  # whether the last step was about to-dos
        # References to the values computed so far, the last of which is "it".
        self.results: list[str] = before.results if before else []
        # To the latest output that is more than a to-do.
        self.result: str | None = before.text if before else None
        # To the id of the to-do that the last step handled.
        self.todo: str | None = before.todo if before else None

    def follow(self, tool: str) -> None:
        """Take note of one more step."""
        if self.is_before:
            self.is_before, self.results, self.result = False, [], None
        if tool == f"{STORE}list":
            self.before = None  # places are those of the list that this step shows
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
        later = Earlier(self.before)
        later.conversation = self.conversation
        later.steps, later.last, later.about_todos = self.steps, self.last, self.about_todos
        later.is_before = self.is_before
        later.results, later.result, later.todo = [*self.results], self.result, self.todo
        later.follow(tool)
        return later

    @property
    def situation(self) -> tuple[bool | int, ...]:
        """What of this decides whether words are understood, beside which step they refer to."""
        results = min(len(self.results), _NAMED_RESULTS)
        has = (of is not None for of in (self.before, self.result, self.todo))
        return (self.is_before, self.about_todos, results, *has)

    @property
    def number(self) -> str | None:
        """A reference to the latest computed value."""
        return (self.results[-1] or None) if self.results else None

    def place(self, place: str, symbols: Sequence[str]) -> str | None:
        """The to-do at a place of the list, or of what was listed before; None for none."""
        return place if self.before is None else self.before.at(place, symbols)

    def everyone(self) -> list[str] | None:
        """References to all to-dos, where nothing says of which; None for those of the list."""
        return self.before.everyone() if self.before and self.is_before else None

    def all_todos(self, symbols: Sequence[str]) -> list[str] | None:
        """References to all the to-dos before, where the words are for all of them."""
        return self.before.all_todos(symbols) if self.before and self.is_before else None


def is_whole(table_words: Sequence[str], start: int, end: int, *, todo: bool = False) -> bool:
    """Whether the words are nothing but a reference."""
    found = (TODOS if todo else RESULTS).longest(table_words, start, end)
    return found is not None and found[0] == end
