"""Where a clause of the loose reading names the list, and what that says about it."""

from dataclasses import dataclass

from nodes.patterns.list_names import LIST, TODO, TODOS
from nodes.patterns.loose_words import LONGEST_PLACE, PLACES
from nodes.patterns.phrases import word_set

_ON = word_set("on in onto into to from off of")
_OURS = word_set("my the our this mi me")


@dataclass(frozen=True, slots=True)
class Named:
    """Where the list stands: `place` is what is before it, from `start`; `end` is after it."""

    place: str | None
    start: int
    end: int
    asked: bool  # whether a question mark follows


def read_todo_as_list(symbols: list[str], begins: list[str]) -> None:
    """Read "my todo" as the list, where something is on it or goes there."""
    if LIST in symbols or TODOS in symbols or symbols.count(TODO) != 1:
        return
    at = symbols.index(TODO)
    if at and symbols[at - 1] in _ON and begins[at] in _OURS:
        symbols[at] = LIST


def find_list(symbols: list[str], asked: bool) -> Named:
    at = symbols.index(LIST if LIST in symbols else TODOS)
    for length in range(min(LONGEST_PLACE, at), 0, -1):
        found = PLACES.longest(symbols, at - length, at)
        if found is not None and found[0] == at:
            return Named(found[1], at - length, at + 1, asked)
    return Named(None, at, at + 1, asked)
