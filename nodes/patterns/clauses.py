"""Divides a prompt into clauses, each of which should be one request."""

from collections.abc import Sequence
from dataclasses import dataclass

from nodes.patterns.english.arithmetic_words import (
    FUNCTIONS,
    OPERATORS,
    PERCENT,
    POSTFIXES,
    PREFIXES,
)
from nodes.patterns.english.connectors import (
    ADDRESSING,
    DIVIDING,
    JOINING,
    PERHAPS_BEGINNINGS,
    Bond,
)
from nodes.patterns.english.list_words import STATUSES
from nodes.patterns.english.politeness import OPENINGS, TITLES, is_shortened
from nodes.patterns.grammar.numbers import is_digits, may_begin_number, read_number
from nodes.patterns.grammar.phrases import PhraseTable, word_set
from nodes.patterns.grammar.words import Words
from nodes.patterns.lines import Line

_CONNECTING = word_set(
    ", ; . : ! ? • & + - and then so oh ah while since also after afterwards thereafter plus but "
    "or "
    "subsequently next finally lastly in once when additionally as besides on"
) | {"\n"}
_SEVERAL = word_set("todos tasks chores items")
_OPERATING = frozenset({"plus", "+", "-", "minus", "times"})
_OTHER_ADDITIONS = word_set("add subtract split share times how minus remove take")
_ENUMERATING = frozenset({"and", ",", "&"})
_LONGEST_NUMBER = 12  # words
_SIGNS = word_set(", ; . ! ?")
_ENDING = word_set(". ! ?")
_OPENINGS_LOOKED_THROUGH = 4  # a bound, or a prompt of nothing but "and please" costs its square


@dataclass(frozen=True, slots=True)
class Clause:
    """Words `start` to `end` of the prompt; `bond` is how it hangs on the clause before."""

    start: int
    end: int
    bond: Bond
    line: int = 0  # which of the prompt's lines it stands in


def divide(prompt: Words, lines: Sequence[Line], beginnings: PhraseTable[bool]) -> list[Clause]:
    """The clauses of a prompt in order; no word but connectors and marks is left out."""
    clauses: list[Clause] = []
    for number, line in enumerate(lines):
        _divide_line(prompt, line, number, beginnings, clauses)
    return clauses


def _divide_line(
    prompt: Words,
    line: Line,
    number: int,
    beginnings: PhraseTable[bool],
    clauses: list[Clause],
) -> None:
    words = prompt.words
    total = line.end
    start, bond = line.start, Bond.HARD
    at = _after_opening(words, start, total)
    while at < total:
        if words[at] in _CONNECTING:
            found = _connector(prompt, at, total, beginnings)
            if found is not None:
                following, next_bond = found
                if at > start:
                    clauses.append(Clause(start, at, bond, number))
                    bond = next_bond
                else:
                    bond = max(bond, next_bond)
                start = following
                # The "and" of "go ahead and" divides nothing.
                at = _after_opening(words, start, total)
                continue
        elif may_begin_number(words[at]):
            whole = read_number(words, at, min(total, at + _LONGEST_NUMBER))
            if whole is not None:
                at = whole[1]  # nor does the one inside a number
                continue
        at += 1
    if start < total:
        clauses.append(Clause(start, total, bond, number))


def _after_opening(words: list[str], start: int, end: int) -> int:
    at = OPENINGS.skip(words, start, end)
    if start < at < end and words[at - 1] == "-" and is_digits(words[at]):
        return at - 1  # a minus before a number is its own
    return at


def _connector(
    prompt: Words, at: int, total: int, beginnings: PhraseTable[bool]
) -> tuple[int, Bond] | None:
    """Where the clause after the connector at `at` begins, if it divides here."""
    words = prompt.words
    if words[at] in _ENDING:
        return (at + 1, Bond.HARD) if _ends_sentence(prompt, at) else None
    dividing = DIVIDING.longest(words, at, total)
    if dividing is not None:
        return dividing
    joining = JOINING.longest(words, at, total)
    if joining is None or _joins_statuses(words, at, total):
        return None
    following = joining[0]
    if words[at] in _OPERATING and _begins_operand(words, following, total):
        return None  # "the square of 3 plus the square of 4"
    bond = _bond_before(words, at, following, total, beginnings)
    return None if bond is None else (following, bond)


def _bond_before(
    words: list[str], at: int, following: int, total: int, beginnings: PhraseTable[bool]
) -> Bond | None:
    """How the words at `following` hang on those before the connector at `at`, if it divides."""
    begin = OPENINGS.skip(words, following, total, most=_OPENINGS_LOOKED_THROUGH)
    if begin >= total:  # "…, it's done": nothing but courtesies follow
        return Bond.CLEAR if words[at] == "," and following < total else None
    if words[begin] not in _SIGNS and ADDRESSING.longest(words, following, total) is not None:
        return Bond.CLEAR
    if any(beginnings.longest(words, place, total) for place in (following, begin)):
        return Bond.CLEAR
    if words[begin] in PERHAPS_BEGINNINGS:
        return Bond.FUZZY
    return Bond.NUMBER if _begins_calculation(words, at, following, total) else None


def _joins_statuses(words: list[str], at: int, end: int) -> bool:
    """Whether "and" stands inside "open and completed todos"."""
    if at == 0 or at + 1 >= end:
        return False
    before, after = words[at - 1], words[at + 1]
    return (before in STATUSES and after in STATUSES) or (before in _SEVERAL and after in _SEVERAL)


def _begins_operand(words: list[str], at: int, end: int) -> bool:
    """Whether an operand follows a "plus", which then joins two numbers and no requests."""
    if at < end and words[at] == "the":
        at += 1
    if at >= end or words[at] in _OTHER_ADDITIONS:
        return False
    return (
        read_number(words, at, min(at + _LONGEST_NUMBER, end)) is not None
        or words[at] in ("-", "(", "minus")
        or PREFIXES.longest(words, at, end) is not None
        or FUNCTIONS.longest(words, at, end) is not None
    )


def _begins_calculation(words: list[str], at: int, following: int, end: int) -> bool:
    """Whether a number and an operator follow, and the number does not go on with one before."""
    if words[following - 1] not in _ENUMERATING:
        return False
    number = read_number(words, following, min(following + _LONGEST_NUMBER, end))
    if number is None:
        return False
    if "/" in number[0] and number[1] < end and words[number[1]] == "of":
        return True
    return any(signs.longest(words, number[1], end) for signs in (OPERATORS, POSTFIXES, PERCENT))


def _ends_sentence(prompt: Words, at: int) -> bool:
    end = prompt.ends[at]
    if end < len(prompt.text) and not prompt.text[end].isspace():
        return False
    if at == 0 or prompt.words[at] != "." or not is_shortened(prompt.words[at - 1]):
        return True
    if at + 1 == len(prompt.words):
        return False
    before = prompt.words[at - 1]
    return len(before) > 1 and before not in TITLES and prompt.text[prompt.starts[at + 1]].isupper()
