"""How moments, durations, numbers and foreign text are written, wherever people read them.

And how text of theirs is compared and searched.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, WithJsonSchema


def doc(description: str) -> Any:
    """What a field of a shape means, in the description of JSON."""
    return Field(description=description)


#: Of a field that the state has, and no JSON that is answered.
UNTOLD = Field(exclude=True)


_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def rfc3339(epoch: float) -> str:
    """`epoch` seconds as `2026-11-22T12:00:00.000Z`; a moment beyond the calendar is its end."""
    epoch = min(max(epoch, 0.0), _LAST) if not math.isnan(epoch) else 0.0
    moment = datetime.fromtimestamp(epoch, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: A moment: kept in epoch seconds; in JSON, and in the description of JSON, as RFC 3339 has it.
Time = Annotated[
    float,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-22T12:00:00.000Z"]},
        mode="serialization",
    ),
]


def duration(milliseconds: float) -> str:
    """`12.5 ms`, `3.2 s`, `2.5 hours`."""
    if milliseconds < 999.5:
        return f"{milliseconds:.3g} ms"
    seconds = milliseconds / 1000
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def counted(number: int, one: str, many: str | None = None, *, grouped: bool = False) -> str:
    """`1 run`, `2000 runs`; `2,000 runs` where the digits are `grouped`."""
    written = f"{number:,}" if grouped else f"{number}"
    return f"{written} {one if number == 1 else many or f'{one}s'}"


_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


def text_of(value: Any) -> str:
    """Text as it is, and anything else as JSON on one line."""
    return value if isinstance(value, str) else _json(value)


def shortened(text: str, most: int) -> str:
    """The text with at most so many characters, the last one a mark where it is cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str, keep: str = "") -> str:
    """The text with everything that is no visible character escaped, except what is in `keep`.

    What users, tools and models say has no power over a terminal, nor over a line of a log.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else json.dumps(char)[1:-1] for char in text
    )


# The same words in another writing: how they are compared, never how they are kept.


_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u02b9\u02bb\u02bc\u00b4`"
_DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u301f"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212"
_ALIKE = str.maketrans(
    {**dict.fromkeys(_QUOTES, "'"), **dict.fromkeys(_DOUBLE_QUOTES, '"')}
    | dict.fromkeys(_DASHES, "-")
)
_DOTTED = re.compile("i\u0307+")  # what casefolding makes of `İ`
_SELECTORS = re.compile("[\ufe00-\ufe0f]")  # whether a character is shown as text or as a picture


#: So many marks of one character count, as the Stream-Safe Text Format of Unicode has it (UAX 15):
#: to put a pile of them in order takes the square of its height.
MOST_MARKS = 30


def _seen(text: str) -> Iterator[str]:
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MOST_MARKS and unicodedata.category(char) != "Cf":
            yield char


def folded(text: str) -> str:
    """The text without regard to case, spacing, width, and the forms of quotes and dashes.

    What cannot be seen is left out, and so are marks upon marks beyond `MOST_MARKS`; `İ` is an i.
    """
    if text.isascii():
        return " ".join(text.lower().replace("`", "'").split())
    seen = "".join(_seen(text))
    # Before NFKC too, which parts a spacing accent into a space and a mark.
    plain = unicodedata.normalize("NFKC", _SELECTORS.sub("", seen).translate(_ALIKE)).casefold()
    plain = unicodedata.normalize("NFKC", plain).translate(_ALIKE)
    return " ".join(_DOTTED.sub("i", plain).split())


#: Characters of scripts that part no words, or parts of words, with blanks: Thai and Lao, Tibetan,
#: Burmese, Khmer, Hangul, kana, Han and Yi; each with the marks that belong to it.
_WITHOUT_BLANKS = re.compile(
    "[\u0e01-\u0e7f\u0e81-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff"
    "\u3005-\u3007\u3041-\u30ff\u3100-\u318f\u31f0-\u31ff\u3400-\u9fff\ua000-\ua4cf"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)

#: Marks of these scripts, which the full-text search takes for the end of a word, as characters for
#: private use, which it takes for letters.
_MARKS = {
    code: 0xE000 + code - 0x0E00
    for code in range(0x0E00, 0x1800)
    if unicodedata.category(chr(code)) in ("Mn", "Mc") and _WITHOUT_BLANKS.match(chr(code))
}


def searchable(text: str) -> str:
    """The text as it is searched: folded as to-dos are, each character a word where no blanks are.

    What is sought of such a script is then a row of characters, wherever it begins.
    """
    plain = folded(text)
    return plain if plain.isascii() else _WITHOUT_BLANKS.sub(r" \g<0> ", plain).translate(_MARKS)
