"""Numbers in digits and in words, up to the billions, with the fractions said after them.

Own code rather than a library: the known ones either change what they read ("five and six"
becomes one number), give no place in the text, or take a planner's whole time for one call.
"""

import re
from collections.abc import Sequence
from fractions import Fraction


def numbered(names: str, first: int, step: int = 1) -> dict[str, int]:
    """The words of `names` with their numbers."""
    return {name: first + at * step for at, name in enumerate(names.split())}


UNITS = numbered("zero one two three four five six seven eight nine", 0)
TEENS = numbered(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10
)
TENS = numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
TENS |= {"fourty": 40, "fivty": 50, "ninty": 90}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
HUNDRED = {"hundred": 100, "hundreds": 100}
DENOMINATORS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "hundredth": 100,
}
DENOMINATORS |= {f"{word}s": value for word, value in DENOMINATORS.items() if word != "half"}

ORDINALS = numbered(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 1
)
_ORDINAL_ENDINGS = frozenset({"st", "nd", "rd", "th"})

SMALL = UNITS | TEENS | TENS
_DOZENS = frozenset({"dozen", "dozens"})
NUMBER_WORDS = frozenset(SMALL) | _DOZENS
_ARTICLES = frozenset({"a", "an"})
_FRACTION_ALONE = {"half": "1 / 2", "quarter": "1 / 4"}
_STARTS = (
    frozenset(SMALL)
    | frozenset(SCALES)
    | _ARTICLES
    | frozenset(_FRACTION_ALONE)
    | {"point", "hundred", "dozen"}
)
_SPOKEN_DIGITS = UNITS | {"oh": 0, "o": 0}
_FIRST_DIGITS = frozenset("0123456789.")
_DIGITS = re.compile(r"(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?")
_OF_THAT_SCALE = 10**6  # "three million and a half": half of a million; below, half of one
_LONGEST_GROUP = 4  # words of a number below a thousand: "two hundred and five"


def is_digits(word: str) -> bool:
    """Whether a word of the prompt is a number in digits, and no date or telephone number."""
    return word[0] in _FIRST_DIGITS and _DIGITS.fullmatch(word) is not None


def may_begin_number(word: str) -> bool:
    """Whether a number may begin with this word; most words it tells off at once."""
    return word[0] in _FIRST_DIGITS or word in _STARTS


def read_number(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """The number that begins at `start`, and where it ends.

    As digits, as `n / d`, or as `(digits + n / d)` where its decimals do not end.
    """
    if start >= end:
        return None
    first = words[start]
    if first[0] in _FIRST_DIGITS:
        if not is_digits(first):
            return None
        if not _goes_on(words, start + 1, end):
            return _plain(first), start + 1
        return _Reader(words, start, end).number()
    if first not in _STARTS:
        return None
    if first in _ARTICLES or first in _FRACTION_ALONE:
        return _with_article(words, start, end)
    if first == "point":
        return _decimals("0", words, start, end)
    return ("12", start + 1) if first == "dozen" else _Reader(words, start, end).number()


def _with_article(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """A number after "a", or a fraction that is named alone."""
    part = _fraction_alone(words, start, end)
    if part is not None or words[start] not in _ARTICLES or start + 1 >= end:
        return part
    counted = words[start + 1] in HUNDRED or words[start + 1] in SCALES
    return _Reader(words, start + 1, end).number() if counted else None


def read_ordinal(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """The digits of "third" or "3rd" at `start`, and where it ends."""
    if start < end and words[start] in ORDINALS:
        return str(ORDINALS[words[start]]), start + 1
    if start + 1 < end and words[start].isdecimal() and words[start + 1] in _ORDINAL_ENDINGS:
        return words[start], start + 2
    return None


def _plain(word: str) -> str:
    """A number in digits as the calculator wants it: no commas, no needless zeros, no exponent."""
    digits = word.replace(",", "")
    if "e" in digits:
        return _mixed(Fraction(digits.replace(".e", ".0e")))
    whole, dot, rest = digits.partition(".")
    return (whole.lstrip("0") or "0") + (dot + rest if rest else "")


def _goes_on(words: Sequence[str], at: int, end: int) -> bool:
    """Whether more than digits may belong to a number in digits."""
    if at >= end:
        return False
    word = words[at]
    if word in SCALES or word in HUNDRED or word in _DOZENS or word == "and":
        return True
    if word == "point" or word in DENOMINATORS:
        return True
    return at + 1 < end and words[at + 1] == "/" and word.isdecimal()


def _fraction_alone(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """ "half", "a third", "a quarter", "half a dozen", "half a million", "a dozen"."""
    first = words[start]
    following = words[start + 1] if start + 1 < end else ""
    if first in _ARTICLES:
        if following in DENOMINATORS:
            return f"1 / {DENOMINATORS[following]}", start + 2
        return ("12", start + 2) if following in _DOZENS else None
    if first == "half" and following in _ARTICLES and start + 2 < end:
        whole = 12 if words[start + 2] in _DOZENS else _scale(words[start + 2])
        if whole is not None:
            return str(whole // 2), start + 3
    return _FRACTION_ALONE[first], start + 1


def _scale(word: str) -> int | None:
    return SCALES.get(word) or HUNDRED.get(word)


def _decimals(whole: str, words: Sequence[str], point: int, end: int) -> tuple[str, int] | None:
    """ "point one four", "point 125", "point seventy five" after `whole`."""
    at = point + 1
    if at < end and words[at].isdecimal() and words[at].isascii():
        return f"{whole}.{words[at]}", at + 1
    if at < end and (many := TEENS.get(words[at]) or TENS.get(words[at])):
        unit = UNITS.get(words[at + 1], 0) if at + 1 < end and words[at] in TENS else 0
        return f"{whole}.{many + unit}", at + (2 if unit else 1)
    digits = []
    while at < end and (digit := _SPOKEN_DIGITS.get(words[at])) is not None:
        digits.append(str(digit))
        at += 1
    return (f"{whole}.{''.join(digits)}", at) if digits else None


class _Reader:
    """One number with words in it: its whole part, group by group, then what follows it."""

    def __init__(self, words: Sequence[str], start: int, end: int) -> None:
        self.words = words
        self.start = start
        self.at = start
        self.end = end
        self.total = Fraction(0)
        self.current: Fraction | None = None
        self.ceiling = 10**12
        self.last_scale = 1  # of the last word, if that was "hundred" or a scale

    def number(self) -> tuple[str, int] | None:
        if self.words[self.start] in SCALES or self.words[self.start] in HUNDRED:
            self.current = Fraction(1)  # "hundred plus five"
        while self.at < self.end and self._take():
            pass
        if self.at == self.start:
            return None
        whole = self.total + (self.current or 0)
        return self._with_part(whole)

    def _take(self) -> bool:
        """Take the next word or two into the whole part."""
        word = self.words[self.at]
        small = self._small(self.at)
        if small is not None:
            if not self._fits(small):
                return False
            self.current = (self.current or 0) + small
            self.last_scale = 1
        elif word in HUNDRED and self.current is not None and self._counts_hundreds():
            self.current *= 100
            self.last_scale = 100
        elif word in SCALES and self.current is not None and SCALES[word] < self.ceiling:
            self.ceiling = self.last_scale = SCALES[word]
            self.total += self.current * self.ceiling
            self.current = None
        elif not (word == "and" and self._and_continues()) and not (
            word == "," and self._comma_continues()
        ):
            return False
        self.at += 1
        return True

    def _counts_hundreds(self) -> bool:
        """Whether hundreds are counted so: "fifteen hundred", and nobody's "twenty hundred"."""
        current = self.current or 0
        if is_digits(self.words[self.at - 1]):
            return 0 < current < 1000  # "322 hundred"
        return 0 < current < 100 and (current < 10 or current % 10 != 0)

    def _small(self, at: int) -> Fraction | None:
        if at >= self.end:
            return None
        word = self.words[at]
        if word in SMALL:
            return Fraction(SMALL[word])
        if word[0] in _FIRST_DIGITS and is_digits(word):
            return Fraction(_plain(word))
        return None

    def _fits(self, small: Fraction) -> bool:
        if self.at == self.start:
            return True
        in_words = self.words[self.at] in SMALL
        if self.last_scale > 1:
            below = self.last_scale if self.current is None else 100
            return small.denominator == 1 and 0 < small < below and self._stays_below()
        current = self.current or 0
        return in_words and 0 < small < 10 and current % 100 >= 20 and current % 10 == 0

    def _stays_below(self) -> bool:
        """Whether the group at `at` ends below the scale before it, and is no fraction's count."""
        at = self.at
        last = min(self.end, at + _LONGEST_GROUP)
        while at < last and (self._small(at) is not None or self.words[at] in HUNDRED):
            at += 1
        if at < self.end and SCALES.get(self.words[at], 0) >= self.ceiling:
            return False
        if self.current is not None and self.words[self.at + 1 : self.at + 2] == ["hundred"]:
            return False
        if at < self.end and self.words[at] == "/":
            return self.words[at + 1 : at + 2] == [] or not self.words[at + 1].isdecimal()
        return True

    def _and_continues(self) -> bool:
        """Whether the "and" at `at` is inside the whole part, as in "three hundred and four"."""
        following = self._small(self.at + 1)
        if self.last_scale == 1 or following is None or self._part(self.at) is not None:
            return False
        self.at += 1
        fits = self._fits(following)
        self.at -= 1
        return fits

    def _comma_continues(self) -> bool:
        """Whether the comma at `at` parts thousands: "three thousand, two hundred and five"."""
        if self.last_scale < 1000 or self.current is not None:
            return False
        at, last = self.at + 1, min(self.end, self.at + 1 + _LONGEST_GROUP)
        while at < last and self._small(at) is not None:
            at += 1
        scale = _scale(self.words[at]) if self.at + 1 < at < self.end else None
        return scale is not None and scale < self.ceiling

    def _with_part(self, whole: Fraction) -> tuple[str, int] | None:
        """The whole number with the decimals or the fraction that are said after it."""
        words, end = self.words, self.end
        if self.at < end and words[self.at] == "point" and whole.denominator == 1:
            return _decimals(str(whole), words, self.at, end)
        if (found := self._part(self.at)) is not None:
            part, self.at = found
            if self.last_scale >= _OF_THAT_SCALE and self.current is None:
                part *= self.last_scale
            whole += part
            scale = _scale(words[self.at]) if self.at < end else None
            if scale is not None and self.last_scale == 1:  # "five and a half million"
                whole *= scale
                self.at += 1
            return _mixed(whole), self.at
        if self.at < end and words[self.at] in DENOMINATORS and whole.denominator == 1:
            return f"{whole} / {DENOMINATORS[words[self.at]]}", self.at + 1
        if self.at < end and words[self.at] in _DOZENS:
            return _mixed(whole * 12), self.at + 1
        return _mixed(whole), self.at

    def _part(self, at: int) -> tuple[Fraction, int] | None:
        """The fraction of a mixed number at `at`: "and a half", "and 3/4", "1/2"."""
        words = self.words
        spoken = at < self.end and words[at] == "and"
        if spoken:
            at += 1
        if at + 1 >= self.end:
            return None
        count = Fraction(1) if words[at] in _ARTICLES else self._small(at)
        if count is None or count.denominator != 1:
            return None
        if spoken and words[at + 1] in DENOMINATORS:
            parts, at = DENOMINATORS[words[at + 1]], at + 2
        elif words[at].isdecimal() and words[at + 1] == "/" and at + 2 < self.end:
            if not words[at + 2].isdecimal() or not words[at + 2].isascii():
                return None
            parts, at = int(words[at + 2]), at + 3
        else:
            return None
        return (count / parts, at) if 0 < count < parts else None


def _mixed(value: Fraction) -> str:
    """The digits of a value, or whole and fraction where the digits do not end."""
    rest, places = value.denominator, 0
    while rest % 10 == 0 or rest % 2 == 0 or rest % 5 == 0:
        rest = rest // 10 if rest % 10 == 0 else rest // (2 if rest % 2 == 0 else 5)
        places += 1
    whole = value.numerator // value.denominator
    if rest == 1:
        digits = f"{(value - whole) * 10**places}".rjust(places, "0").rstrip("0") if places else ""
        return f"{whole}.{digits}" if digits else str(whole)
    part = value - whole
    return f"({whole} + {part.numerator} / {part.denominator})"
