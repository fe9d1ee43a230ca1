"""Numbers in digits and in words, up to the billions.

Own code rather than a library: the known ones either change what they read ("five and six"
becomes one number), give no place in the text, or take a planner's whole time for one call.
"""

from collections.abc import Sequence
from decimal import Decimal


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
NUMBER_WORDS = frozenset(SMALL) | {"dozen"}
_STARTS = frozenset(SMALL) | {"a", "an", "point", "half"} | frozenset(SCALES) | {"hundred"}
_PART = {"half": "5", "quarter": "25"}  # what "and a half" adds after the point
_SPOKEN_DIGITS = UNITS | {"oh": 0, "o": 0}
_DIGITS = frozenset("0123456789.")


def is_digits(word: str) -> bool:
    """Whether a word of the prompt is a number in digits."""
    return word[0] in _DIGITS and word != "."


def read_number(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """The number that begins at `start` as digits, or as `n / d`, and where it ends."""
    if start >= end:
        return None
    first = words[start]
    if is_digits(first):
        return _from_digits(words, start, end)
    if first not in _STARTS:
        return None
    if first in ("a", "an", "half"):
        return _with_article(words, start, end)
    if first == "point":
        return _decimals("0", words, start, end)
    unspoken_one = 1 if first in SCALES or first in HUNDRED else None  # "hundred plus five"
    value, at = _integer(words, start, end, unspoken_one)
    if at < end and words[at] == "point":
        return _decimals(str(value), words, at, end)
    if (part := _part(words, at, end)) is not None:
        return f"{value}.{part}", at + 3
    if at < end and words[at] in DENOMINATORS:
        return f"{value} / {DENOMINATORS[words[at]]}", at + 1
    if at < end and words[at] == "dozen":
        return str(value * 12), at + 1
    return str(value), at


def read_ordinal(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    """The digits of "third" or "3rd" at `start`, and where it ends."""
    if start < end and words[start] in ORDINALS:
        return str(ORDINALS[words[start]]), start + 1
    if start + 1 < end and words[start].isdecimal() and words[start + 1] in _ORDINAL_ENDINGS:
        return words[start], start + 2
    return None


def _from_digits(words: Sequence[str], start: int, end: int) -> tuple[str, int]:
    digits = words[start].replace(",", "")
    whole, dot, rest = digits.partition(".")
    digits = (whole.lstrip("0") or "0") + dot + rest
    at = start + 1
    scale = 1
    while at < end and (factor := SCALES.get(words[at]) or HUNDRED.get(words[at])):
        scale *= factor
        at += 1
        if at - start > len(SCALES):
            break
    if scale == 1 and not dot and (part := _part(words, at, end)) is not None:
        return f"{digits}.{part}", at + 3
    if scale == 1:
        return digits, at
    return format((Decimal(digits) * scale).normalize(), "f"), at


def _part(words: Sequence[str], at: int, end: int) -> str | None:
    """The digits of "and a half" or "and a quarter", if that comes next."""
    if at + 3 <= end and words[at] == "and" and words[at + 1] in ("a", "one"):
        return _PART.get(words[at + 2])
    return None


def _with_article(words: Sequence[str], start: int, end: int) -> tuple[str, int] | None:
    if words[start] == "half":
        return ("1 / 2", start + 1)
    at = start + 1
    if at >= end:
        return None
    if words[at] in DENOMINATORS:
        return f"1 / {DENOMINATORS[words[at]]}", at + 1
    if words[at] == "dozen":
        return "12", at + 1
    if words[at] in HUNDRED or words[at] in SCALES:
        value, at = _integer(words, at, end, current=1)
        return str(value), at
    return None


def _decimals(whole: str, words: Sequence[str], point: int, end: int) -> tuple[str, int] | None:
    at = point + 1
    digits = []
    while at < end and (digit := _SPOKEN_DIGITS.get(words[at])) is not None:
        digits.append(str(digit))
        at += 1
    return (f"{whole}.{''.join(digits)}", at) if digits else None


def _integer(
    words: Sequence[str], start: int, end: int, current: int | None = None
) -> tuple[int, int]:
    total = 0
    ceiling = 10**12
    at = start
    while at < end:
        word = words[at]
        if word in SMALL:
            if not _fits(current, SMALL[word]):
                break
            current = (current or 0) + SMALL[word]
        elif word in HUNDRED and current is not None and 0 < current < 100:
            current *= 100
        elif word in SCALES and current is not None and SCALES[word] < ceiling:
            ceiling = SCALES[word]
            total += current * ceiling
            current = None
        elif word != "and" or not _continues(words, at, end, current, total):
            break
        at += 1
    return total + (current or 0), at


def _fits(current: int | None, small: int) -> bool:
    if current is None or (current >= 100 and current % 100 == 0):
        return True
    return 0 < small < 10 and current % 100 >= 20 and current % 10 == 0


def _continues(words: Sequence[str], at: int, end: int, current: int | None, total: int) -> bool:
    """Whether the "and" at `at` is inside a number, as in "three hundred and four"."""
    if at + 1 >= end or not SMALL.get(words[at + 1]):
        return False
    if current is None:
        return total > 0
    another_hundred = at + 2 < end and words[at + 2] in HUNDRED
    return current >= 100 and current % 100 == 0 and not another_hundred
