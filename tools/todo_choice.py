"""Which to-do is meant: by its id, its words, or its place in the list."""

import re
import unicodedata
from collections.abc import Sequence
from typing import TypedDict

from tools.registry import ToolError

_SHOWN = 5  # to-dos named in an error
_SHOWN_TEXT = 60  # characters of each

# fmt: off
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
)
# fmt: on
_THING = r"(?:one|item|task|to-?do|entry)"
_POSITION = re.compile(
    rf"(?:the )?(?:{_THING} )?(?:number |no\.? ?|# ?)?"
    rf"(?P<place>(?P<number>[0-9]{{1,9}})(?:st|nd|rd|th)?|last|{'|'.join(_ORDINALS)})"
    rf"(?: {_THING})?(?: (?:on|in|of) (?:the|my) list)?"
)
_HOW = "ask for one by its exact words, its place (such as 2 or 'the last one') or its id"


class Todo(TypedDict):
    """One thing to do; times are RFC 3339 in UTC, `completed_at` is null while it is open."""

    id: str
    text: str
    completed: bool
    created_at: str
    updated_at: str
    completed_at: str | None


def choose(todos: Sequence[Todo], wanted: str, *, prefer_open: bool = False) -> Todo:
    """The one to-do of a list, oldest first, that `wanted` says.

    It is tried as an id, then as exact words (without regard to case and spacing), then as a place
    in the list. `prefer_open` decides between a completed and one open to-do of the same words.
    Raises `ToolError` when there is none, or more than one.
    """
    words = _normal(wanted)
    if not words:
        raise ToolError(f"no to-do was named; {_HOW}")
    for todo in todos:
        if todo["id"] == words:
            return todo
    same = [todo for todo in todos if _normal(todo["text"]) == words]
    if prefer_open and len(still_open := [todo for todo in same if not todo["completed"]]) == 1:
        same = still_open
    if len(same) > 1:
        raise ToolError(_ambiguous(same))
    return same[0] if same else _at(todos, words)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _at(todos: Sequence[Todo], words: str) -> Todo:
    match = _POSITION.fullmatch(words)
    if match is None or not todos:
        raise ToolError(_unknown(todos, words))
    if match["place"] == "last":
        return todos[-1]
    number = match["number"]
    position = int(number) if number else _ORDINALS.index(match["place"]) + 1
    if not 1 <= position <= len(todos):
        raise ToolError(f"there is no to-do {position}; the list goes from 1 to {len(todos)}")
    return todos[position - 1]


def _unknown(todos: Sequence[Todo], words: str) -> str:
    if not todos:
        return "there are no to-dos; add one first"
    alike = sorted(todos, key=lambda todo: words not in _normal(todo["text"]))
    named = ", ".join(repr(_short(todo["text"])) for todo in alike[:_SHOWN])
    more = f" and {len(todos) - _SHOWN} more" if len(todos) > _SHOWN else ""
    return f"no to-do is called {_short(words)!r}; there are {named}{more}: {_HOW}"


def _ambiguous(same: Sequence[Todo]) -> str:
    named = "; ".join(
        f"{todo['id']} ({_short(todo['text'])!r}, "
        f"{'completed' if todo['completed'] else 'open'}, added {todo['created_at']})"
        for todo in same[:_SHOWN]
    )
    more = f"; and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
    return f"{len(same)} to-dos have these words; ask for one by its id: {named}{more}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"
