"""Several to-dos in one request: all of them, their places, or their quoted words."""

from collections.abc import Sequence

from nodes.patterns.english.list_names import LIST, TODO, TODOS, View
from nodes.patterns.english.list_words import ALL, ALL_OF_THEM, FRONTS, HASTE, NOUNS, QUANTITIES
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.todos.items import position

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
