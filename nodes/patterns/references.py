"""What "it", "that" and "the result" stand for: the output of an earlier step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nodes.patterns.phrases import phrase_set

#: Words for a value that was computed before.
RESULTS = phrase_set(
    [
        "it|that|this|them",
        "[the|that|this|its|my|your] [last|previous|final|first|above] "
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

_RECORDS = frozenset(f"todo_store.{name}" for name in ("add", "get", "update", "complete"))


@dataclass(slots=True)
class Earlier:
    """The tools of the steps planned so far, in order."""

    tools: list[str] = field(default_factory=list)

    @property
    def number(self) -> str | None:
        """A reference to the latest computed value."""
        return self._latest(frozenset({"calculator"}), "{{step_{}_output}}")

    @property
    def todo(self) -> str | None:
        """A reference to the id of the to-do that the last step handled."""
        if self.tools and self.tools[-1] in _RECORDS:
            return f"{{step_{len(self.tools)}_output.id}}"
        return None

    @property
    def about_todos(self) -> bool:
        """Whether the last step was about to-dos."""
        return bool(self.tools) and self.tools[-1].startswith("todo_store.")

    def _latest(self, wanted: frozenset[str], form: str) -> str | None:
        for number in range(len(self.tools), 0, -1):
            if self.tools[number - 1] in wanted:
                return form.format(number)
        return None


def is_whole(table_words: Sequence[str], start: int, end: int, *, todo: bool = False) -> bool:
    """Whether the words are nothing but a reference."""
    found = (TODOS if todo else RESULTS).longest(table_words, start, end)
    return found is not None and found[0] == end
