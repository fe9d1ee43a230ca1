"""Reads a clause as arithmetic: talk, one expression and talk again.

The expression has to be complete (`expressions.py`). Around it any order of words will do as long
as all of them are talk (`arithmetic_talk.py`); a word that is none, such as a unit, a date or
another thing to act on, means that something else is asked.
"""

from collections.abc import Sequence

from nodes.patterns.english.arithmetic_words import (
    BOTH_RESULTS,
    CHANGED_BY,
    CHANGES,
    CONSISTENT,
    CONTINUATIONS,
    DIVIDED_BY,
    FUNCTIONS,
    GOES,
    LEFT_OVER,
    MATH_WORDS,
    MONEY_AFTER,
    NTH_RESULT,
    NUMBER_FRONTS,
    ONTO,
    OPERATORS,
    OTHER_QUESTIONS,
    PERCENT,
    PERCENT_CHANGES,
    PERCENT_SIGN,
    PLURALS,
    POSTFIXES,
    PREFIXES,
    REMAINDERS,
    SEPARATORS,
    SHARERS,
    SHARING,
    SPLIT,
    TO_THE,
    TOGETHER,
    Function,
    is_talk_after,
    skip_talk,
)
from nodes.patterns.grammar.calls import RESULTS
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits, read_number, read_ordinal


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
    parser = ExpressionParser(words, end, results)
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
            named = _is_what_was_named(words[start:at], expression)
            return (expression, (at, parser.at)) if named else None
    return None


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


# The grammar of expressions: words in, an expression for the calculator out.
#
# A recursive descent that only goes forward, so the work grows with the number of words.


MAX_DEPTH = 60  # brackets and functions inside one another, two levels for each
_SIGNS = {"-": "-", "minus": "-", "negative": "-", "+": "", "positive": ""}
_SYMBOLS = frozenset("+-*/%")


class NotArithmetic(Exception):
    """The words are no expression."""


class TooDeep(NotArithmetic):
    """The words are nested deeper than anyone would say."""


class ExpressionParser:
    """Reads one expression; `at` is the word after it, `operations` how much there is to do."""

    def __init__(self, words: list[str], end: int, results: Sequence[str]) -> None:
        self.words = words
        self.end = end
        self.results = results
        self.number = results[-1] if results else None
        self.at = 0
        self.depth = 0
        self.operations = 0
        self.sum_ends = -1

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

    def begin(self, start: int) -> None:
        self.at, self.sum_ends, self.depth, self.operations = start, -1, 0, 0

    def joined(self) -> tuple[str, bool]:
        """An expression, or several with "and" between them where a later word says how."""
        parts = [self.expression()]
        while self.at < self.end and self.words[self.at] == "and":
            self.at += 1
            parts.append(self.operand())
        if len(parts) == 1:
            return parts[0]
        found = TOGETHER.longest(self.words, self.at, self.end)
        if found is None or self.operations:  # "5 + 3 and 2 together" has two readings
            raise NotArithmetic
        self.at, operator = found
        self.operations += 1
        return f" {operator} ".join(map(_atom, parts)), False

    def continuation(self) -> str | None:
        found = CONTINUATIONS.longest(self.words, self.at, self.end)
        if found is None or found[0] == self.end:
            return None
        self.at, template = found
        try:
            operand = self.operand()
        except TooDeep:
            raise
        except NotArithmetic:
            return None
        if not is_talk_after(self.words, self.at, self.end):
            return None
        self.operations += 1
        return template.format(f"({self.number})", _atom(operand))

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
        return f"{_atom(left)} % {_atom(self.operand())}"

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
                return f"{_atom(whole)} * (100 {sign} {_atom(amount)}) / 100"
            if "/" in amount[0]:
                raise NotArithmetic  # "increase 80 by a quarter" has two readings
            return f"{_atom(whole)} {sign} {_atom(amount)}"
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
        whole = _atom(self.operand())
        self.operations += 1
        if not sign:
            return f"{percent} / 100 * {whole}"
        return f"{whole} * (100 {sign} {percent}) / 100"

    def percent_sign(self) -> bool:
        """Whether a percent sign comes next that is no remainder; it is passed over."""
        found = PERCENT_SIGN.longest(self.words, self.at, self.end)
        if found is None or PERCENT.longest(self.words, self.at, self.end) is not None:
            return False
        if self.words[self.at] == "%" and found[0] < self.end:
            following = self.words[found[0]]
            if following == "(" or read_number(self.words, found[0], self.end) is not None:
                return False  # "50 + 10 % 3"
        self.at = found[0]
        return True

    def expression(self) -> tuple[str, bool]:
        """An infix chain; its text and whether it needs no brackets."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep
        left = self.operand()
        parts = [left[0]]
        while (found := self.operator(parts)) is not None:
            before = self.at
            self.at, operator = found
            if before == self.sum_ends and operator in "*/%**" and not self.names_operation():
                raise NotArithmetic  # "the sum of 5 and 6 times 2" has two readings
            self.operations += 1
            if len(parts) == 1:
                parts = [_atom(left)]
            kind, _, sign = operator.rpartition(" ")
            if kind and len(parts) > 1:
                parts = [f"({' '.join(parts)})"]
            if kind == "reversed":
                parts = [_atom(self.expression()), sign, *parts]
                break
            parts = self.with_right_side(parts, sign)
            if self.words[before] in SHARING:
                self.skip_sharers()
        self.depth -= 1
        return " ".join(parts), len(parts) == 1 and left[1]

    def with_right_side(self, parts: list[str], sign: str) -> list[str]:
        """The chain with its next operand; a percentage is one of all that stands before it."""
        right = _atom(self.operand())
        if not self.percent_sign():
            return [*parts, sign, right]
        if sign in "+-":
            whole = _atom((" ".join(parts), len(parts) == 1))
            return [whole, "*", f"(100 {sign} {right})", "/", "100"]
        if sign not in "*/":
            raise NotArithmetic
        return [*parts, sign, f"({right} / 100)"]

    def names_operation(self) -> bool:
        """Whether an operation follows that is named first: "times the sum of 4 and 5"."""
        return FUNCTIONS.longest(self.words, self.at, self.end) is not None

    def operator(self, parts: list[str]) -> tuple[int, str] | None:
        """The next operator; "of" is one after a fraction, as in "3/4 of 18"."""
        following = self.words[self.at : self.at + 1] if self.at < self.end else []
        if following == ["of"] and len(parts) == 3 and parts[1] == "/":
            return self.at + 1, "*"
        if following == ["("]:
            if "/" in parts:
                raise NotArithmetic  # "8 / 2(2 + 2)" has two readings
            return self.at, "*"
        if following == ["%"] and self.words[self.at + 1 : self.at + 2] in (["+"], ["-"]):
            return None  # a percentage, and the next operation
        if following == ["x"] and self.words[self.at + 1 : self.at + 2] == ["+"]:
            raise NotArithmetic  # "2x + 3" has an unknown
        return OPERATORS.longest(self.words, self.at, self.end)

    def operand(self) -> tuple[str, bool]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep
        if self.at >= self.end:
            raise NotArithmetic
        text, atom = self.primary()
        while (found := POSTFIXES.longest(self.words, self.at, self.end)) is not None:
            self.at, template = found
            self.operations += 1
            text, atom = template.format(_base(_atom((text, atom)))), False
        if (power := self.power()) is not None:
            text, atom = f"{_base(_atom((text, atom)))} ** {power}", False
        if (percent := PERCENT.longest(self.words, self.at, self.end)) is not None:
            self.at, template = percent
            self.operations += 1
            whole = self.operand()
            text, atom = template.format(_atom((text, atom)), _atom(whole)), False
        self.depth -= 1
        return text, atom

    def power(self) -> str | None:
        """The number in "to the fifth power", if that comes next."""
        found = TO_THE.longest(self.words, self.at, self.end)
        if found is None:
            return None
        ordinal = read_ordinal(self.words, found[0], self.end)
        if ordinal is None:
            return None
        power, at = ordinal
        self.at = at + 1 if self.words[at : at + 1] == ["power"] and at < self.end else at
        self.operations += 1
        return power

    def primary(self) -> tuple[str, bool]:
        words, at = self.words, self.at
        word = words[at]
        if word == "(":
            return self.bracketed()
        if word in _SIGNS and not self.is_from_ahead():
            self.at += 1
            text, atom = self.operand()
            return _SIGNS[word] + _atom((text, atom)), True
        if (front := NUMBER_FRONTS.longest(words, at, self.end)) is not None:
            self.at = at = front[0]
        number = read_number(words, at, self.end)
        if number is not None:
            text, self.at = number
            return self.counted(text)
        if (found := FUNCTIONS.longest(words, at, self.end)) is not None:
            self.at, function = found
            return self.function(function)
        if (prefix := PREFIXES.longest(words, at, self.end)) is not None:
            self.at, template = prefix
            self.operations += 1
            operand = _base(_atom(self.operand()))
            if operand.startswith("(-") and template.endswith("** 0.5"):
                raise NotArithmetic  # no number is the square root of minus four
            return template.format(operand), False
        if self.results and (reference := self.reference()) is not None:
            return f"({reference})", True
        raise NotArithmetic

    def reference(self) -> str | None:
        """An earlier result: "it", "the result", "the second result"."""
        nth = NTH_RESULT.longest(self.words, self.at, self.end)
        if nth is not None and (len(self.results) > 1 or nth[0] - self.at > 2):
            self.at, place = nth
            if place >= len(self.results):
                raise NotArithmetic
            return self.results[place]
        found = RESULTS.longest(self.words, self.at, self.end)
        if found is None:
            return None
        self.at = found[0]
        return self.number

    def skip_sharers(self) -> None:
        found = SHARERS.longest(self.words, self.at, self.end)
        if found is not None:
            self.at = found[0]

    def is_from_ahead(self) -> bool:
        """Whether "minus" is said for "subtract", as in "minus 5 from 12"."""
        if self.words[self.at] != "minus":
            return False
        number = read_number(self.words, self.at + 1, self.end)
        return number is not None and self.words[number[1] : number[1] + 1] == ["from"]

    def counted(self, text: str) -> tuple[str, bool]:
        """A number with the words that belong to it: "two thirds of 9", "5 dollars"."""
        if self.at < self.end and self.words[self.at] in MONEY_AFTER:
            self.at += 1
        if self.at < self.end and (count := PLURALS.get(self.words[self.at])) is not None:
            self.at += 1
            self.operations += 1
            return f"{text} * {count}", False
        if "/" not in text:
            return text, True
        if self.at < self.end and self.words[self.at] == "of":
            self.at += 1
            self.operations += 1
            return f"{text} * {_atom(self.operand())}", False
        return text, False

    def bracketed(self) -> tuple[str, bool]:
        self.at += 1
        text, _ = self.expression()
        if self.at >= self.end or self.words[self.at] != ")":
            raise NotArithmetic
        self.at += 1
        return f"({text})", True

    def function(self, function: Function) -> tuple[str, bool]:
        separators = SEPARATORS[function.separators]
        before = self.operations
        arguments = self.both_results() or [self.expression()]
        if (goes := GOES.longest(self.words, self.at, self.end)) is not None:
            self.at = goes[0]
        while (found := separators.longest(self.words, self.at, self.end)) is not None:
            self.at = found[0]
            arguments.append(self.operand())
        if function.separators == SPLIT:
            self.skip_sharers()
        if function.operator == "mean":
            return self.mean(arguments)
        if len(arguments) == 1:
            text = arguments[0][0]
            if self.operations == before or _SYMBOLS.intersection(text) != {function.operator}:
                raise NotArithmetic  # "subtract 3 plus 4" names no second operand
            return arguments[0]
        self.operations += 1
        texts = [_atom(argument) for argument in arguments]
        if function.reversed:
            texts.reverse()
        if function.operator in "-/" and len(texts) != 2:
            raise NotArithmetic
        if function.operator in "+-":
            self.sum_ends = self.at
        return f" {function.operator} ".join(texts), False

    def both_results(self) -> list[tuple[str, bool]]:
        """The two earlier results, where the words name both."""
        found = BOTH_RESULTS.longest(self.words, self.at, self.end)
        if found is None or len(self.results) != 2:
            return []
        self.at = found[0]
        return [(f"({result})", True) for result in self.results]

    def mean(self, arguments: list[tuple[str, bool]]) -> tuple[str, bool]:
        if len(arguments) < 2:
            raise NotArithmetic
        self.operations += 1
        return f"({' + '.join(map(_atom, arguments))}) / {len(arguments)}", False


def _base(atom: str) -> str:
    """What is raised to a power: a sign before it would be taken for one before the power."""
    return f"({atom})" if atom[0] == "-" else atom


def _atom(operand: tuple[str, bool]) -> str:
    text, atom = operand
    return text if atom else f"({text})"
