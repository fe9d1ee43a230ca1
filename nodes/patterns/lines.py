"""The notation of the vocabularies: one line stands for many phrases.

A line is words with groups: `(can|could) you` chooses, `[please] add` may leave out,
`<verb>` stands for the lines of a named word class. Groups nest; `a|b` alone chooses too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WordClasses = Mapping[str, Sequence[str]]
Elements = list["str | Choice"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences; none of them where it may be left out."""

    options: list[Elements]
    optional: bool = False


_PIECE = re.compile(r"[()\[\]|]|<[^<>]+>|[^\s()\[\]|<>]+")
_CLOSING = {"(": ")", "[": "]"}


def parse(line: str, classes: WordClasses) -> Choice:
    """What `line` stands for.

    Raises `ValueError` when a group is not closed or a word class is not known.
    """
    return _options(line, iter(_PIECE.findall(line)), "", classes)


def backwards(choice: Choice) -> Choice:
    """The same phrases, each read from its end."""
    return Choice(
        [
            [backwards(part) if isinstance(part, Choice) else part for part in reversed(option)]
            for option in choice.options
        ],
        choice.optional,
    )


def first_words(line: str, classes: WordClasses) -> set[str]:
    """The words with which the phrases of `line` may begin."""
    return _firsts(parse(line, classes))


def _firsts(choice: Choice) -> set[str]:
    found: set[str] = set()
    for option in choice.options:
        for part in option:
            if isinstance(part, str):
                found.add(part)
                break
            found |= _firsts(part)
            if not part.optional:
                break
    return found


def _options(line: str, pieces: Iterator[str], closing: str, classes: WordClasses) -> Choice:
    options: list[Elements] = [[]]
    for piece in pieces:
        if piece == closing:
            return Choice(options, optional=closing == "]")
        if piece == "|":
            options.append([])
        elif piece in _CLOSING:
            options[-1].append(_options(line, pieces, _CLOSING[piece], classes))
        elif piece[0] == "<":
            members = classes.get(piece[1:-1])
            if members is None:
                raise ValueError(f"the phrase {line!r} uses {piece}, which is no word class here")
            options[-1].append(Choice([[parse(member, classes)] for member in members]))
        else:
            options[-1].append(piece)
    if closing:
        raise ValueError(f"{closing!r} is missing in the phrase {line!r}")
    return Choice(options)
