"""Reads a clause as arithmetic: talk, one calculation and talk again.

The calculation has to be whole: an expression, or a number that is changed, or what is left of
one. Around it any order of words will do as long as all of them are talk
(`english.arithmetic_words`); a word that is none, such as a unit, a date or another thing to act
on, means that something else is asked.
"""

from collections.abc import Sequence

from nodes.patterns.english.arithmetic_words import (
    CHANGED_BY,
    CHANGES,
    CONSISTENT,
    DIVIDED_BY,
    LEFT_OVER,
    MATH_WORDS,
    ONTO,
    OTHER_QUESTIONS,
    PERCENT_CHANGES,
    REMAINDERS,
    is_talk_after,
    skip_talk,
)
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits, read_number
from nodes.patterns.sums.expressions import ExpressionParser, NotArithmetic, TooDeep, atom


class CalculationParser(ExpressionParser):
    """Reads one calculation that has nothing but talk after it."""

    def whole(self, start: int) -> str:
        """The expression that begins at `start` and has nothing but talk after it.

        Raises `NotArithmetic` where there is none.
        """
        self.begin(start)
        text = self.continuation() if self.number else None
        if text is None:
            self.begin(start)
            text = self.remainder() or self.change()
        if text is None:
            self.begin(start)
            text, _ = self.joined()
            text = self.left_over(text)
        if self.operations and is_talk_after(self.words, self.at, self.end):
            return text
        raise NotArithmetic

    def remainder(self) -> str | None:
        """What is left over where that is named first: "the remainder of 17 divided by 5"."""
        found = REMAINDERS.longest(self.words, self.at, self.end)
        if found is None:
            return None
        self.at = found[0]
        left = self.operand()
        by = DIVIDED_BY.longest(self.words, self.at, self.end)
        if by is None:
            raise NotArithmetic
        self.at = by[0]
        self.operations += 1
        return f"{atom(left)} % {atom(self.operand())}"

    def left_over(self, text: str) -> str:
        """The remainder, where it is asked for after one division: "17 divided by 5 remainder"."""
        found = LEFT_OVER.longest(self.words, self.at, self.end)
        if found is None:
            return text
        if self.operations != 1 or text.count(" / ") != 1:
            raise NotArithmetic
        self.at = found[0]
        return text.replace(" / ", " % ")

    def change(self) -> str | None:
        """A number made larger or smaller: "increase 200 by 15%", "take 20% off 50"."""
        found = CHANGES.longest(self.words, self.at, self.end)
        if found is not None:
            self.at, sign = found
            try:
                whole = self.operand()
            except TooDeep:
                raise
            except NotArithmetic:
                return None
            by = CHANGED_BY.longest(self.words, self.at, self.end)
            if by is None:
                return None
            self.at = by[0]
            amount = self.operand()
            self.operations += 1
            if self.percent_sign():
                return f"{atom(whole)} * (100 {sign} {atom(amount)}) / 100"
            if "/" in amount[0]:
                raise NotArithmetic  # "increase 80 by a quarter" has two readings
            return f"{atom(whole)} {sign} {atom(amount)}"
        return self.percent_change()

    def percent_change(self) -> str | None:
        found = PERCENT_CHANGES.longest(self.words, self.at, self.end)
        if found is None:
            return None
        self.at, (sign, onto) = found
        number = read_number(self.words, self.at, self.end)
        if number is None:
            return None
        percent, self.at = number
        if not self.percent_sign():
            return None
        between = ONTO[onto].longest(self.words, self.at, self.end)
        if between is None:
            return None
        self.at = between[0]
        whole = atom(self.operand())
        self.operations += 1
        if not sign:
            return f"{percent} / 100 * {whole}"
        return f"{whole} * (100 {sign} {percent}) / 100"


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
