"""Divides a prompt into clauses, each of which should be one request."""

from dataclasses import dataclass

from nodes.patterns.english.arithmetic_words import OPERATORS, PERCENT, POSTFIXES
from nodes.patterns.english.connectors import (
    ABBREVIATIONS,
    ADDRESSING,
    DIVIDING,
    JOINING,
    PERHAPS_BEGINNINGS,
    Bond,
)
from nodes.patterns.english.politeness import OPENINGS
from nodes.patterns.grammar.numbers import HUNDRED, SCALES, read_number
from nodes.patterns.grammar.phrases import PhraseTable, word_set
from nodes.patterns.grammar.words import Words

_CONNECTING = word_set(
    ", ; . : ! ? • & + - and then so oh ah while since also after afterwards thereafter plus but "
    "or "
    "subsequently next finally lastly in once when additionally as besides on"
) | {"\n"}
_A_HALF = ["a", "half"]  # of "two and a half"
_ENUMERATING = frozenset({"and", ",", "&"})
_LONGEST_NUMBER = 12  # words
_SIGNS = word_set(", ; . ! ?") | {"\n"}
_OPENINGS_LOOKED_THROUGH = 4  # a bound, or a prompt of nothing but "and please" costs its square


@dataclass(frozen=True, slots=True)
class Clause:
    """Words `start` to `end` of the prompt; `bond` is how it hangs on the clause before."""

    start: int
    end: int
    bond: Bond


def divide(prompt: Words, beginnings: PhraseTable[bool]) -> list[Clause]:
    """The clauses of a prompt in order; no word but connectors is left out."""
    words = prompt.words
    total = len(words)
    clauses: list[Clause] = []
    start, bond = _after_numbering(words, 0), Bond.HARD
    at = OPENINGS.skip(words, start, total)
    while at < total:
        if words[at] in _CONNECTING and (found := _connector(prompt, at, beginnings)) is not None:
            following, next_bond = found
            if at > start:
                clauses.append(Clause(start, at, bond))
                bond = next_bond
            else:
                bond = max(bond, next_bond)
            start = _after_numbering(words, following)
            at = OPENINGS.skip(words, start, total)  # the "and" of "go ahead and" divides nothing
        else:
            at += 1
    if start < total:
        clauses.append(Clause(start, total, bond))
    return clauses


def _connector(prompt: Words, at: int, beginnings: PhraseTable[bool]) -> tuple[int, Bond] | None:
    """Where the clause after the connector at `at` begins, if it divides here."""
    words = prompt.words
    total = len(words)
    if words[at] == ".":
        return (at + 1, Bond.HARD) if _ends_sentence(prompt, at) else None
    dividing = DIVIDING.longest(words, at, total)
    if dividing is not None:
        return dividing
    joining = JOINING.longest(words, at, total)
    if joining is None:
        return None
    following = joining[0]
    begin = OPENINGS.skip(words, following, total, most=_OPENINGS_LOOKED_THROUGH)
    if begin >= total:  # "…, it's done": nothing but courtesies follow
        return (following, Bond.CLEAR) if words[at] == "," and following < total else None
    if words[begin] not in _SIGNS and ADDRESSING.longest(words, following, total) is not None:
        return following, Bond.CLEAR
    for place in (following, begin):
        if beginnings.longest(words, place, total) is not None:
            return following, Bond.CLEAR
    if words[begin] in PERHAPS_BEGINNINGS:
        return following, Bond.FUZZY
    return (following, Bond.NUMBER) if _begins_calculation(words, at, following) else None


def _begins_calculation(words: list[str], at: int, following: int) -> bool:
    """Whether a number and an operator follow, and the number does not go on with one before."""
    if words[following - 1] not in _ENUMERATING or words[following : following + 2] == _A_HALF:
        return False
    if at > 0 and (words[at - 1] in SCALES or words[at - 1] in HUNDRED):
        return False
    number = read_number(words, following, min(following + _LONGEST_NUMBER, len(words)))
    if number is None:
        return False
    if "/" in number[0] and words[number[1] : number[1] + 1] == ["of"]:
        return True
    return any(
        signs.longest(words, number[1], len(words)) for signs in (OPERATORS, POSTFIXES, PERCENT)
    )


def _after_numbering(words: list[str], start: int) -> int:
    """Past the "2." or "2)" of a numbered line."""
    line_begins = start == 0 or words[start - 1] == "\n"
    if line_begins and words[start : start + 1] and words[start].isdecimal():
        return start + 2 if words[start + 1 : start + 2] in (["."], [")"]) else start
    return start


def _ends_sentence(prompt: Words, at: int) -> bool:
    end = prompt.ends[at]
    if end < len(prompt.text) and not prompt.text[end].isspace():
        return False
    return at == 0 or prompt.words[at - 1] not in ABBREVIATIONS or at + 1 == len(prompt.words)
