"""A whole calculation: an expression, or a number that is changed, or what is left of one."""

from nodes.patterns.english.arithmetic_words import (
    CHANGED_BY,
    CHANGES,
    DIVIDED_BY,
    LEFT_OVER,
    ONTO,
    PERCENT_CHANGES,
    REMAINDERS,
    is_talk_after,
)
from nodes.patterns.grammar.numbers import read_number
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
