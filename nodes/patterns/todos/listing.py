"""The list in a clause: a wish to see it, or which of its to-dos are meant where they are several.

They are all of them, or named by their places or their quoted words.
"""

from collections.abc import Sequence

from nodes.patterns.english.list_names import LIST, TODO, TODOS, View
from nodes.patterns.english.list_words import (
    ALL,
    ALL_OF_THEM,
    ASKING,
    COUNTING,
    DENYING,
    ELLIPTIC,
    FRONTS,
    HASTE,
    HOW_TO,
    IMPLICIT,
    NEGATIONS,
    NEVER_TOGETHER,
    NOT_TOGETHER,
    NOUNS,
    OTHER_TIMES,
    QUANTITIES,
    QUESTIONING,
    SHOWING,
    STATUS,
    TIMES,
)
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import phrase_set
from nodes.patterns.todos.items import position

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


EVERY = "all"
_MOST = 50  # places that "the first 50" or "1 to 50" may stand for
_LONGEST_HASTE = 3  # words
_TO = frozenset({"to", "through", "thru", "-", "till", "until"})


def read_all(words: Sequence[str], seen: View) -> str | None:
    """What is to become of every to-do, where a clause asks for that; else None.

    "All of them" may be those that were just shown, or added: that is not guessed at.
    """
    symbols = seen.symbols
    found = ALL_OF_THEM.longest(symbols, 0, len(symbols))
    if found is None or found[0] != len(symbols):
        return None
    if "them" in symbols:
        return None
    said = words[seen.at[0] : seen.at[-1]]
    if ALL.isdisjoint(said) and (LIST not in symbols or TODOS in symbols):
        return None  # "delete my todos" may mean some of them
    if LIST not in symbols and TODOS not in symbols and TODO not in symbols:
        return (
            found[1] if found[1] == "complete" and ("as" in symbols or "done" in symbols) else None
        )
    return found[1]


def places(symbols: Sequence[str]) -> list[str] | None:
    """The places that the words name, two or more: "1 and 3", "the first two", "2 to 4"."""
    at, end = 0, len(symbols)
    while at < end and (symbols[at] in FRONTS or symbols[at] in NOUNS) and symbols[at] != "one":
        at += 1
    if end - at > 1 and symbols[end - 1] in NOUNS:
        end -= 1
    if at >= end:
        return None
    return _first_ones(symbols, at, end) or _range(symbols, at, end) or _each(symbols, at, end)


def _first_ones(symbols: Sequence[str], at: int, end: int) -> list[str] | None:
    if symbols[at] != "first":
        return None
    return _counted(read_number(symbols, at + 1, end), 1, end)


def _counted(number: tuple[str, int] | None, first: int, end: int) -> list[str] | None:
    if number is None or number[1] != end or not number[0].isdigit():
        return None
    last = int(number[0])
    return [str(place) for place in range(first, last + 1)] if first < last <= _MOST else None


def _range(symbols: Sequence[str], at: int, end: int) -> list[str] | None:
    begin = read_number(symbols, at, end)
    if begin is None or not begin[0].isdigit() or begin[1] >= end or symbols[begin[1]] not in _TO:
        return None
    return _counted(read_number(symbols, begin[1] + 1, end), int(begin[0]), end)


def _each(symbols: Sequence[str], at: int, end: int) -> list[str] | None:
    found: list[str] = []
    begin = at
    for here in range(at, end + 1):
        if here < end and symbols[here] not in ("and", ",", "&", "plus"):
            continue
        if begin < here:
            part = symbols[begin:here]
            place = None if part[0] in ("-", "minus") else position(list(part), numbered=True)
            if place is None:
                return None
            found.append(place)
        begin = here + 1
    return found if len(found) > 1 else None


def is_quantity(symbols: Sequence[str]) -> bool:
    """Whether the words say how many to-dos, and not which."""
    found = QUANTITIES.longest(symbols, 0, len(symbols))
    return found is not None and found[0] == len(symbols)


def goes_on_after_place(symbols: Sequence[str], *, numbered: bool) -> bool:
    """Whether more follows the place of a to-do: "1 and email it to Bob", "2 on Friday".

    `numbered`: the words before said already that a to-do is meant, so a bare number is a place.
    """
    at = 0
    while at < len(symbols) and symbols[at] in NOUNS:
        numbered = True
        at += 1
    number = read_number(symbols, at, len(symbols)) if numbered else None
    if number is None:
        return False
    return number[1] < len(symbols) or not number[0].isdigit()


def names_another(symbols: Sequence[str]) -> bool:
    """Whether a second to-do is named by its place: "soap and todo 2"."""
    return any(
        symbol == TODO and read_number(symbols, at + 1, len(symbols)) is not None
        for at, symbol in enumerate(symbols)
        if at > 0
    )


def before_haste(words: Sequence[str], start: int, end: int) -> int:
    """Where the "again" or "for me" begins that ends a request; `end` where there is none."""
    for at in range(max(start + 1, end - _LONGEST_HASTE), end):
        if HASTE.skip(words, at, end) == end:
            return at
    return end


def without_haste(symbols: list[str]) -> list[str]:
    """A place without the "now" or "right away" after it."""
    number = read_number(symbols, 0, len(symbols))
    if number is None or number[1] == len(symbols):
        return symbols
    return (
        symbols[: number[1]]
        if HASTE.skip(symbols, number[1], len(symbols)) == len(symbols)
        else symbols
    )
