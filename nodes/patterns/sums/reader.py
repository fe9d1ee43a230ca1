"""Reads a clause as arithmetic: talk, one expression and talk again.

The calculation has to be complete (`calculations`). Around it any order of words will do as long
as all of them are talk (`english.arithmetic_words`); a word that is none, such as a unit, a date or
another thing to act on, means that something else is asked.
"""

from collections.abc import Sequence

from nodes.patterns.english.arithmetic_words import (
    CONSISTENT,
    MATH_WORDS,
    OTHER_QUESTIONS,
    skip_talk,
)
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits
from nodes.patterns.sums.calculations import CalculationParser
from nodes.patterns.sums.expressions import NotArithmetic, TooDeep

#: Signs with which no calculation begins that continues nothing.
_SIGNS = frozenset({"plus", "minus", "+", "-", "*", "/", "times"})


def looks_like_arithmetic(words: list[str], start: int, end: int, results: Sequence[str]) -> bool:
    """Whether a clause has anything to compute with; most clauses have not."""
    if results:
        return True
    for at in range(start, end):
        word = words[at]
        if word in NUMBER_WORDS or word in MATH_WORDS or is_digits(word):
            return True
    return False


def read_expression(
    words: list[str], start: int, end: int, results: Sequence[str] = ()
) -> tuple[str, tuple[int, int]] | None:
    """The expression that the words from `start` to `end` ask for, and which of them it took.

    `results` are references to the values computed so far; "it" and "the result" stand for the
    last of them.
    """
    if is_dialled(words, start, end):
        return None
    parser = CalculationParser(words, end, results)
    at = parser.first = start
    while at < end:
        try:
            expression = parser.whole(at)
        except TooDeep:
            return None
        except NotArithmetic:
            after = skip_talk(words, at, end)
            if after is None:
                return None
            at = after
        else:
            named = _is_what_was_named(words[start:at], expression)
            return (expression, (at, parser.at)) if named else None
    return None


def continues(words: list[str], start: int, end: int) -> bool:
    """Whether a clause begins with what continues a value: "plus 4", "- (3 + 2)"."""
    while start < end and words[start] not in _SIGNS:
        after = skip_talk(words, start, end)
        if after is None:
            return False
        start = after
    return start < end and words[start] in _SIGNS


def is_only_mark(words: list[str], start: int) -> bool:
    """Whether a prompt of one line has before this word a sign, which was taken for a mark."""
    return start == 1 and words[0] in "*-+" and "\n" not in words


def is_dialled(words: list[str], start: int, end: int) -> bool:
    """Whether nothing but digits and dashes stand there as in a telephone number: "555-1234"."""
    groups = words[start:end:2]
    return (
        len(groups) > 1
        and all(sign == "-" for sign in words[start + 1 : end : 2])
        and (end - start) % 2 == 1
        and all(group.isdecimal() and len(group) > 2 for group in groups)
    )


def _is_what_was_named(before: list[str], expression: str) -> bool:
    """Whether a value is asked for, and "the product when …" is followed by a product."""
    if OTHER_QUESTIONS.longest(before, 0, len(before)) and "what" not in before:
        return False
    return all(
        set(expression).isdisjoint("+-*/%".replace(sign, ""))
        for word, sign in CONSISTENT.items()
        if word in before
    )
