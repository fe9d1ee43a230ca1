"""The words of a to-do: as they were written, or the place of one, or of several, on the list.

An earlier result may stand in them: "pay that amount", "the answer and milk".
"""

from collections.abc import Sequence

from nodes.patterns.antecedent import Antecedent, Earlier, is_whole
from nodes.patterns.english.list_names import TODO
from nodes.patterns.english.list_words import (
    FRONTS,
    HASTE,
    NOUNS,
    QUANTITIES,
)
from nodes.patterns.english.todo_templates import PLACES
from nodes.patterns.english.todo_words import BEFORE_STATES, DONE_STATES, STATE_FRONTS, STATES
from nodes.patterns.grammar.numbers import read_number, read_ordinal
from nodes.patterns.grammar.phrases import PhraseTable, phrase_set, word_set
from nodes.patterns.grammar.words import Words, is_shortened, literal

_NUMBERING = frozenset({"#", "number", "no", "nr", "num", "."})
_NOUNS = frozenset({"one", "item", "task", "todo", "thing", "entry", "chore", TODO})
#: The list is kept in the order in which it was written, oldest first.
_ENDS_OF_LIST = {"last": "last", "latest": "last", "newest": "last", "oldest": "1"}
_QUOTES = frozenset({'"', "'"})
_LISTING = frozenset({"and", ",", "&"})
_BEFORE = frozenset({",", ":", "-", ";"})
_AFTER = frozenset({",", ":", "-", ";"})


def wording(prompt: Words, start: int, end: int) -> str:
    """The words from `start` to `end` to the letter, without quotes or separators around them.

    A full stop ends the sentence and no item, unless it belongs to the last word: "Inc.", "v1.0.".
    """
    words = prompt.words
    while start < end and words[start] in _BEFORE and _is_apart(prompt, start, end):
        start += 1
    while start < end and words[end - 1] in _AFTER:
        end -= 1
    if end - start > 1 and words[end - 1] == "." and not _keeps_stop(words[end - 2]):
        end -= 1
    text = prompt.source(start, end)
    if end - start == 1 and words[start][0] in _QUOTES and len(text) > 2:
        return text[1:-1].strip()
    return text


def _is_apart(prompt: Words, at: int, end: int) -> bool:
    """Whether the sign at `at` only leads to the words: "-5 degrees" begins with a minus."""
    return prompt.words[at] != "-" or at + 1 == end or prompt.ends[at] < prompt.starts[at + 1]


def _keeps_stop(word: str) -> bool:
    return word == "." or is_shortened(word)


def position(symbols: list[str], *, numbered: bool) -> str | None:
    """The place on the list that the words name, "1" for the first, "last" for the last.

    `numbered`: the words before said already that a to-do is meant, so a bare number counts.
    """
    at = 0
    end = len(symbols)
    if at < end and symbols[at] in ("the", "my"):
        at += 1
    if at < end and symbols[at] in _NOUNS and symbols[at] != "one":
        numbered = True
        at += 1
    while at < end and symbols[at] in _NUMBERING:
        numbered = True
        at += 1
    if at == end:
        return None
    end_of_list = _ENDS_OF_LIST.get(symbols[at])
    ordinal = (end_of_list, at + 1) if end_of_list else read_ordinal(symbols, at, end)
    if ordinal is None:
        return _number(symbols, at, end) if numbered else None
    place, at = ordinal
    if at < end and symbols[at] in _NOUNS:
        at += 1
    return place if at == end else None


def _number(symbols: list[str], at: int, end: int) -> str | None:
    """A place in digits, also one that no list has: "-1"."""
    sign = "-" if symbols[at] in ("-", "minus") else ""
    number = read_number(symbols, at + len(sign), end)
    whole = number is not None and number[1] == end and number[0].isdigit()
    return sign + number[0] if number and whole else None


def quotations(words: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """The places of quotations that have nothing but "and" and commas between them."""
    found = [(at, at + 1) for at in range(start, end) if words[at][0] in _QUOTES]
    if any(words[at][0] not in _QUOTES and words[at] not in _LISTING for at in range(start, end)):
        return []
    return found


def separated(words: list[str], start: int, end: int, count: int | None) -> list[tuple[int, int]]:
    """The places of the items of an enumeration, parted by semicolons, or else by commas.

    An "and" before the last one is no part of it; between two words it parts them only where no
    comma does and `count` does not say otherwise.
    """
    sign = ";" if ";" in words[start:end] else ","
    parts = _split(words, start, end, sign)
    first, last = parts[-1]
    if len(parts) > 1 and first < last and words[first] == "and":
        parts[-1] = (first + 1, last)
    elif sign == "," and len(parts) != count:
        parts[-1:] = _split(words, first, last, "and")
    return [(begin, stop) for begin, stop in parts if begin < stop]


def _split(words: list[str], start: int, end: int, sign: str) -> list[tuple[int, int]]:
    parts = []
    begin = start
    for at in range(start, end):
        if words[at] == sign:
            parts.append((begin, at))
            begin = at + 1
    parts.append((begin, end))
    return parts


# Words that stand where the text of a to-do does and are none, but a state or a place.


_PRONOUNS = frozenset({"it", "them", "they", "that", "this", "these", "those", "both"})
_ORDINARY = frozenset({"one", "ones", "todo", "task", "item", "result", "value", "todos", "tasks"})


def is_reference(words: list[str], start: int, end: int) -> bool:
    """Whether they begin with a pronoun or with a place, as no text of a to-do does."""
    if words[start] in _PRONOUNS:
        return True
    found = PLACES.longest(words, start, end)
    if found is None:
        return False
    last = words[found[0] - 1]
    return found[0] == end or last in _ORDINARY or last.isdecimal()


def is_number(symbols: Sequence[str]) -> bool:
    """Whether they are nothing but a number."""
    number = read_number(symbols, 0, len(symbols))
    return number is not None and number[1] == len(symbols)


def is_done_state(words: list[str], start: int, end: int) -> bool:
    """Whether they say that it is done, and nothing more."""
    return _is_all(DONE_STATES, words, start, end)


def is_state(words: list[str], start: int, end: int) -> bool:
    """Whether they are a state, a time or an order, or begin with one as no text does."""
    begin = start
    while begin < end - 1 and words[begin] in BEFORE_STATES:
        begin += 1
    if words[begin] in STATE_FRONTS or is_done_state(words, start, end):
        return True
    return _is_all(STATES, words, begin, end)


def _is_all(table: PhraseTable[bool], words: list[str], start: int, end: int) -> bool:
    while end - start > 1 and words[end - 1] in (".", "!", "?", "instead", "please"):
        end -= 1
    found = table.longest(words, start, end)
    return found is not None and found[0] == end


#: Words for a value that mean an earlier one wherever they stand.
_POINTING = phrase_set(
    [
        "(that|this) [same|exact|total] (amount|sum|result|answer|total|value|number|figure|"
        "outcome|output)",
        "the (result|answer|outcome|output) [of (that|this|it)]|that (many|much)",
        "the (resulting|calculated|computed|same) (amount|sum|value|number|total|figure)",
    ]
)
#: Words that mean one at the end of an item: "pay the total", but "the number of chairs".
_AT_END = phrase_set(["the (amount|sum|total|value|number|figure)"])
_FOR_A_VALUE = frozenset({"it", "that", "this"})
_HOLDING = word_set("with containing holding saying showing for of about")
_BESIDE = frozenset({"and", ",", "or", "then"})
_FEW = 3  # words before a pronoun that can name nothing it could stand for


class Ambiguous(Exception):
    """The words may mean an earlier result or not."""


def text_with_results(
    prompt: Words, start: int, end: int, earlier: Earlier, *, named: bool = False
) -> str:
    """The words from `start` to `end` as an input, earlier results as references.

    `named`: they are a name, which means no result. Raises `Ambiguous` where a pronoun may be one.
    """
    if earlier.result is None or named or _is_quoted(prompt, start, end):
        return literal(wording(prompt, start, end))
    words = prompt.words
    if earlier.before and earlier.is_before:
        return _text_after(prompt, start, end, earlier.before, earlier.result)
    if end - start > 1 and words[start] in _HOLDING and is_whole(words, start + 1, end):
        return earlier.result
    if is_whole(words, start, end):
        return earlier.result
    at, begin, text = start, start, ""
    while at < end:
        reached = _reference_at(words, start, at, end)
        if reached is None:
            at += 1
            continue
        if begin < at:
            text += literal(prompt.text[prompt.starts[begin] : prompt.starts[at]])
        text += earlier.result
        at = reached
        if at < end:
            text += literal(prompt.text[prompt.ends[at - 1] : prompt.starts[at]])
        begin = at
    rest = wording(prompt, begin, end) if text == "" else prompt.source(begin, end)
    return text + literal(rest)


def _text_after(prompt: Words, start: int, end: int, before: Antecedent, result: str) -> str:
    """The same of what was there before the prompt, which only words that point to it mean.

    A pronoun inside of an item stays as it was said: it may mean anything.
    """
    words = prompt.words
    if end - start > 1 and words[end - 1] == "." and not is_shortened(words[end - 2]):
        end -= 1
    holds = end - start > 1 and words[start] in _HOLDING
    if is_whole(words, start + holds, end):
        before.meant_otherwise = True
        return result
    for at in range(start + 1, end):
        found = _POINTING.longest(words, at, end)
        if found is not None:
            before.meant_otherwise = True
            first = literal(prompt.text[prompt.starts[start] : prompt.starts[at]])
            rest = literal(prompt.text[prompt.ends[found[0] - 1] : prompt.ends[end - 1]])
            return first + result + rest
    return literal(wording(prompt, start, end))


def _is_quoted(prompt: Words, start: int, end: int) -> bool:
    return end - start == 1 and prompt.words[start][0] in "\"'"


def _reference_at(words: list[str], start: int, at: int, end: int) -> int | None:
    found = _POINTING.longest(words, at, end)
    if found is not None:
        return found[0]
    found = _AT_END.longest(words, at, end)
    if found is not None and found[0] == end and at > start:
        return found[0]
    if words[at] not in _FOR_A_VALUE or at == start:
        return None
    before = words[start:at]
    if at + 1 == end and len(before) <= _FEW and _BESIDE.isdisjoint(before):
        return end
    if words[at] == "it" and _BESIDE.isdisjoint(before):
        raise Ambiguous
    return None


# To-dos that are several: by their places, or by how many they are.


#: What stands for each to-do of the list.
EVERY = "all"
_MOST = 50  # places that "the first 50" or "1 to 50" may stand for
_LONGEST_HASTE = 3  # words
_TO = frozenset({"to", "through", "thru", "-", "till", "until"})


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
