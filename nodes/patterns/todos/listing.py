"""Reads a clause as a wish to see the list, whatever the order of its words."""

from collections.abc import Sequence

from nodes.patterns.english.list_names import LIST, TODO, TODOS
from nodes.patterns.english.list_words import (
    ASKING,
    COUNTING,
    DENYING,
    ELLIPTIC,
    HOW_TO,
    IMPLICIT,
    NEGATIONS,
    NEVER_TOGETHER,
    NOT_TOGETHER,
    OTHER_TIMES,
    QUESTIONING,
    SHOWING,
    STATUS,
    TIMES,
)
from nodes.patterns.grammar.phrases import phrase_set

_NAMES = frozenset({LIST, TODOS})
_PREPOSITIONS = frozenset({"on", "in", "from", "of", "for"})
_PERSONS = frozenset({"i", "i'd", "i'm", "we", "we'd", "do", "does"})
_WHOLE = frozenset({"the", "all", "everything", "my", "these", "this"})
_BESIDE_NAMES = SHOWING | _NAMES | {TODO}
_IMPLICIT = phrase_set(IMPLICIT)
_ELLIPTIC = phrase_set(ELLIPTIC)


def read_listing(symbols: list[str], *, about_todos: bool) -> dict[str, str] | None:
    """The input of `todo_store.list` that the symbols of a clause ask for, or None.

    `about_todos`: the clause before was about the list, so "show everything" means it too.
    """
    implicit = _IMPLICIT.longest(symbols, 0, len(symbols))
    if implicit is not None and implicit[0] == len(symbols):
        return {}
    elliptic = _ELLIPTIC.longest(symbols, 0, len(symbols)) if about_todos else None
    if elliptic is not None and elliptic[0] == len(symbols):
        return {}
    if symbols.count(LIST) > 1:
        return None  # two requests
    if symbols[0] == "how" and len(symbols) > 1 and symbols[1] in HOW_TO:
        return None
    if _NAMES.isdisjoint(symbols) or not _BESIDE_NAMES.issuperset(symbols):
        return None
    others = [symbol for symbol in symbols if symbol not in _NAMES]
    named_only = symbols[0] in _NAMES and (_PREPOSITIONS | TIMES).issuperset(others)
    if not named_only and not _asks(symbols, others):
        return None
    barred = NEVER_TOGETHER if symbols[0] in QUESTIONING else NEVER_TOGETHER + NOT_TOGETHER
    if any(one in others and other in others for one, other in barred):
        return None
    asked = what_is_asked(symbols)
    denied = not DENYING.isdisjoint(others) and asked.get("status") != "open"
    return None if denied and symbols[0] not in QUESTIONING else asked


def what_is_asked(symbols: list[str]) -> dict[str, str]:
    """The part of the list that the words ask for, and whether only for its number."""
    return _status([symbol for symbol in symbols if symbol not in _NAMES]) | _count(symbols)


def _count(symbols: list[str]) -> dict[str, str]:
    """Whether only the number of to-dos is asked for."""
    total = len(symbols)
    asked = any(COUNTING.longest(symbols, at, total) for at in range(total))
    return {"show": "count"} if asked else {}


def _status(others: list[str]) -> dict[str, str]:
    """The part of the list that is asked for: what is done, what is not, or nothing said."""
    if "be" in others and "done" in others:
        return {"status": "open"}  # "what needs to be done"
    named = [status for status, words in STATUS.items() if not words.isdisjoint(others)]
    if len(named) != 1:
        return {}
    undone = named == ["completed"] and not NEGATIONS.isdisjoint(others)
    return {"status": "open" if undone else named[0]}


def _asks(symbols: list[str], others: list[str]) -> bool:
    """Whether these are a question or a wish.

    A verb such as "add" among the words of a question is fine, in front it is a command.
    """
    if ASKING.isdisjoint(others):
        return False
    first = symbols[0]
    if first == "do" and symbols[1:2] and symbols[1] in _WHOLE:
        return False  # "do everything on my list"
    if first in _PREPOSITIONS and len(symbols) > 1:
        first = symbols[1]
    return first in ASKING or first in _NAMES or first in _PERSONS


def names_other_time(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a part of the list is asked for by its day, which no to-do has."""
    return any(OTHER_TIMES.longest(words, at, end) is not None for at in range(start, end))
