"""What "it", "that" and "the result" stand for: the output of an earlier step."""

from collections.abc import Sequence

from nodes.patterns.phrases import phrase_set
from nodes.patterns.requests import CALCULATOR, STORE

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

_RECORDS = frozenset(STORE + name for name in ("add", "get", "update", "complete"))


class Earlier:
    """The steps planned so far, as far as later words can refer to them."""

    def __init__(self) -> None:
        self.steps = 0
        self.last: str | None = None  # the tool of the last step
        self.about_todos = False  # whether the last step was about to-dos
        self.number: str | None = None  # a reference to the latest computed value
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
            self.number = self.result


def is_whole(table_words: Sequence[str], start: int, end: int, *, todo: bool = False) -> bool:
    """Whether the words are nothing but a reference."""
    found = (TODOS if todo else RESULTS).longest(table_words, start, end)
    return found is not None and found[0] == end
