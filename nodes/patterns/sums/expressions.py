"""The grammar of expressions: words in, an expression for the calculator out.

A recursive descent that only goes forward, so the work grows with the number of words.
"""

from collections.abc import Sequence

from nodes.patterns.antecedent import RESULTS
from nodes.patterns.english.arithmetic_words import (
    BOTH_RESULTS,
    CONTINUATIONS,
    FUNCTIONS,
    GOES,
    MONEY_AFTER,
    NTH_RESULT,
    NUMBER_FRONTS,
    OPERATORS,
    PERCENT,
    PERCENT_SIGN,
    PLURALS,
    POSTFIXES,
    PREFIXES,
    SEPARATORS,
    SHARERS,
    SHARING,
    SPLIT,
    TO_THE,
    TOGETHER,
    Function,
    is_talk_after,
)
from nodes.patterns.grammar.numbers import read_number, read_ordinal

MAX_DEPTH = 60  # brackets and functions inside one another, two levels for each
_SIGNS = {"-": "-", "minus": "-", "negative": "-", "+": "", "positive": ""}
_SYMBOLS = frozenset("+-*/%")


class NotArithmetic(Exception):
    """The words are no expression."""


class TooDeep(NotArithmetic):
    """The words are nested deeper than anyone would say."""


#: The number that was there before the prompt.
_BEFORE = "{step_0_output}"
_BEFORE_OPERAND = f"({_BEFORE})"
#: Words after which a sign belongs to a number: "what is -2 + 5".
_NAMES_NUMBER = frozenset({"is", "what's", "whats", "calculate", "compute", "evaluate", "solve"})


class ExpressionParser:
    """Reads one expression; `at` is the word after it, `operations` how much there is to do."""

    def __init__(self, words: list[str], end: int, results: Sequence[str]) -> None:
        self.words = words
        self.end = end
        self.results = results
        self.number = results[-1] if results else None
        self.first = 0  # word of the clause
        self.at = 0
        self.depth = 0
        self.operations = 0
        self.sum_ends = -1

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
        return f" {operator} ".join(map(atom, parts)), False

    def continuation(self) -> str | None:
        found = CONTINUATIONS.longest(self.words, self.at, self.end)
        if found is None or found[0] == self.end:
            return self.said_of_before()
        if self.number == _BEFORE:
            return self.continuation_of_before(*found)
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
        return template.format(f"({self.number})", atom(operand))

    def continuation_of_before(self, after: int, template: str) -> str | None:
        """The number that was there before the prompt, and all that is done to it.

        Raises `NotArithmetic` where only a number with a sign would be left otherwise.
        """
        begin = self.at
        signed = self.words[begin] in _SIGNS
        if (
            self.words[begin] in ("+", "-")
            and begin > self.first
            and self.words[begin - 1] in _NAMES_NUMBER
        ):
            return None  # "what is -2" names a number
        self.at = after
        try:
            text = self.chain(self.with_right_side([_BEFORE_OPERAND], template[4:-4]))
        except TooDeep:
            raise
        except NotArithmetic:
            text = ""
        if text and is_talk_after(self.words, self.at, self.end):
            if text == f"{_BEFORE_OPERAND} {template[4:-4]} {_BEFORE_OPERAND}":
                raise NotArithmetic  # "minus that" names one number only
            self.operations += 1
            return text
        if signed or self.words[begin] == "plus":
            raise NotArithmetic
        return None

    def said_of_before(self) -> str | None:
        """What is done to the number that was there before the prompt: "and squared?"."""
        found = POSTFIXES.longest(self.words, self.at, self.end)
        if self.number != _BEFORE or found is None:
            return None
        self.at, template = found
        if not is_talk_after(self.words, self.at, self.end):
            return None
        self.operations += 1
        return template.format(f"({self.number})")

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
        text = self.chain([left[0]], left)
        self.depth -= 1
        return text, text == left[0] and left[1]

    def chain(self, parts: list[str], left: tuple[str, bool] = ("", True)) -> str:
        """The rest of an infix chain that begins with `parts`, of which `left` is the only one."""
        while (found := self.operator(parts)) is not None:
            before = self.at
            self.at, operator = found
            if before == self.sum_ends and operator in "*/%**" and not self.names_operation():
                raise NotArithmetic  # "the sum of 5 and 6 times 2" has two readings
            self.operations += 1
            if len(parts) == 1 and left[0]:
                parts = [atom(left)]
            kind, _, sign = operator.rpartition(" ")
            if kind and len(parts) > 1:
                parts = [f"({' '.join(parts)})"]
            if kind == "reversed":
                parts = [atom(self.expression()), sign, *parts]
                break
            parts = self.with_right_side(parts, sign)
            if self.words[before] in SHARING:
                self.skip_sharers()
        return " ".join(parts)

    def with_right_side(self, parts: list[str], sign: str) -> list[str]:
        """The chain with its next operand; a percentage is one of all that stands before it."""
        right = atom(self.operand())
        if not self.percent_sign():
            return [*parts, sign, right]
        if sign in "+-":
            whole = atom((" ".join(parts), len(parts) == 1))
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
        is_fraction = len(parts) == 3 and parts[1] == "/" and parts[0] != _BEFORE_OPERAND
        if following == ["of"] and is_fraction:
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
        text, whole = self.primary()
        while (found := POSTFIXES.longest(self.words, self.at, self.end)) is not None:
            self.at, template = found
            self.operations += 1
            text, whole = template.format(_base(atom((text, whole)))), False
        if (power := self.power()) is not None:
            text, whole = f"{_base(atom((text, whole)))} ** {power}", False
        if (percent := PERCENT.longest(self.words, self.at, self.end)) is not None:
            self.at, template = percent
            self.operations += 1
            of = self.operand()
            text, whole = template.format(atom((text, whole)), atom(of)), False
        self.depth -= 1
        return text, whole

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
            text, whole = self.operand()
            return _SIGNS[word] + atom((text, whole)), True
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
            operand = _base(atom(self.operand()))
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
            if place >= len(self.results) or not self.results[place]:
                raise NotArithmetic
            return self.results[place]
        found = RESULTS.longest(self.words, self.at, self.end)
        if found is None:
            return None
        self.at = found[0]
        return self.number or None

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
            return f"{text} * {atom(self.operand())}", False
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
        texts = [atom(argument) for argument in arguments]
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
        return f"({' + '.join(map(atom, arguments))}) / {len(arguments)}", False


def _base(atom: str) -> str:
    """What is raised to a power: a sign before it would be taken for one before the power."""
    return f"({atom})" if atom[0] == "-" else atom


def atom(operand: tuple[str, bool]) -> str:
    """The text of an operand, in brackets unless it needs none."""
    text, is_atom = operand
    return text if is_atom else f"({text})"
