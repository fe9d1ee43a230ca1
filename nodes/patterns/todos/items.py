"""The words of a to-do: as they were written, or the place of one that is on the list."""

from nodes.patterns.english.list_names import TODO
from nodes.patterns.grammar.numbers import read_number, read_ordinal
from nodes.patterns.grammar.words import Words

_NUMBERING = frozenset({"#", "number", "no", "nr", "num", "."})
_NOUNS = frozenset({"one", "item", "task", "todo", "thing", "entry", "chore", TODO})
_QUOTES = frozenset({'"', "'"})
_LISTING = frozenset({"and", ",", "&"})
_AROUND = frozenset({",", ":", "-", ";", "."})


def wording(prompt: Words, start: int, end: int) -> str:
    """The words from `start` to `end` as written, without quotes or signs around them."""
    words = prompt.words
    while start < end and words[start] in _AROUND:
        start += 1
    while start < end and words[end - 1] in _AROUND:
        end -= 1
    text = prompt.source(start, end)
    if end - start == 1 and words[start][0] in _QUOTES and len(text) > 2:
        return text[1:-1].strip()
    return text


def position(symbols: list[str], *, numbered: bool) -> str | None:
    """The place on the list that the words name, "1" for the first, "last" for the last.

    `numbered`: the words before said already that a to-do is meant, so a bare number counts.
    """
    at = 0
    end = len(symbols)
    if at < end and symbols[at] in ("the", "my"):
        at += 1
    if at < end and symbols[at] in _NOUNS:
        numbered = True
        at += 1
    while at < end and symbols[at] in _NUMBERING:
        numbered = True
        at += 1
    if at == end:
        return None
    word = symbols[at]
    ordinal = read_ordinal(symbols, at, end)
    place = None
    if word == "last":
        place, at = word, at + 1
    elif ordinal is not None:
        place, at = ordinal
    elif numbered and (number := read_number(symbols, at, end)) is not None:
        text, after = number
        return text if after == end and text.isdigit() else None
    if place is None:
        return None
    if at < end and symbols[at] in _NOUNS:
        at += 1
    return place if at == end else None


def several_positions(symbols: list[str]) -> bool:
    """Whether the words are nothing but several places: "1 and 2", "the first and the last"."""
    parts = " ".join(symbols).replace(",", " and ").split(" and ")
    return len(parts) > 1 and all(
        position(part.split(), numbered=True) for part in parts if part.strip()
    )


def quotations(words: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """The places of quotations that have nothing but "and" and commas between them."""
    found = [(at, at + 1) for at in range(start, end) if words[at][0] in _QUOTES]
    if any(words[at][0] not in _QUOTES and words[at] not in _LISTING for at in range(start, end)):
        return []
    return found


def several(
    words: list[str], start: int, end: int, count: int | None
) -> list[tuple[int, int]] | None:
    """The places of the items in an enumeration; None when they are not `count`."""
    parts = _split(words, start, end, ",")
    first, last = parts[-1]
    if len(parts) > 1 and first < last and words[first] == "and":
        parts[-1] = (first + 1, last)
    elif len(parts) != count:
        parts[-1:] = _split(words, first, last, "and")
    parts = [(begin, stop) for begin, stop in parts if begin < stop]
    return parts if parts and (count is None or count == len(parts)) else None


def _split(words: list[str], start: int, end: int, sign: str) -> list[tuple[int, int]]:
    parts = []
    begin = start
    for at in range(start, end):
        if words[at] == sign:
            parts.append((begin, at))
            begin = at + 1
    parts.append((begin, end))
    return parts
