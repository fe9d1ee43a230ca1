"""Reads a clause as arithmetic: talk, one expression and talk again.

The expression has to be complete (`expressions.py`). Around it any order of words will do as long
as all of them are talk (`arithmetic_talk.py`); a word that is none, such as a unit, a date or
another thing to act on, means that something else is asked.
"""

from nodes.patterns.arithmetic_talk import CONSISTENT, OTHER_QUESTIONS, skip_talk
from nodes.patterns.arithmetic_words import MATH_WORDS
from nodes.patterns.expressions import ExpressionParser, NotArithmetic, TooDeep
from nodes.patterns.numbers import NUMBER_WORDS, is_digits


def looks_like_arithmetic(words: list[str], start: int, end: int, number: str | None) -> bool:
    """Whether a clause has anything to compute with; most clauses have not."""
    if number is not None:
        return True
    for at in range(start, end):
        word = words[at]
        if word in NUMBER_WORDS or word in MATH_WORDS or is_digits(word):
            return True
    return False


def read_expression(words: list[str], start: int, end: int, number: str | None) -> str | None:
    """The expression that the words from `start` to `end` ask for, or None.

    `number` is the reference that "it" and "the result" stand for, if there is one.
    """
    parser = ExpressionParser(words, end, number)
    at = start
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
            return expression if _is_what_was_named(words[start:at], expression) else None
    return None


def _is_what_was_named(before: list[str], expression: str) -> bool:
    """Whether a value is asked for, and "the product when …" is followed by a product."""
    if OTHER_QUESTIONS.longest(before, 0, len(before)) and "what" not in before:
        return False
    return all(
        set(expression).isdisjoint("+-*/%".replace(sign, ""))
        for word, sign in CONSISTENT.items()
        if word in before
    )
