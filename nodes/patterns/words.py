"""The words of a prompt: lower-cased for the tables, with their places in the original text."""

import re
from dataclasses import dataclass

#: Signs that only look different, each as the one the tables use.
_SAME = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MULTIPLICATION X}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DOT OPERATOR}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{DIVISION SLASH}": "/",
    }
)
_WORD = re.compile(
    r"""
      "[^"\n]+" | (?<!\w)'[^'\n]+'(?!\w)                                       # quoted
    | [0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)? | [0-9]+(?:\.[0-9]+)? | \.[0-9]+
    | [^\W\d_]+(?:'[^\W\d_]+)*          # a word, also don't
    | (?<=[^\W\d_])-(?=[^\W\d_])        # the hyphen of to-do joins two words and is none itself
    | \*\* | \n | [^\s]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """`words[i]` is what stands at `text[starts[i]:ends[i]]`; a quotation is one word."""

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]

    def source(self, start: int, end: int) -> str:
        """The original text of the words from `start` up to `end`."""
        return self.text[self.starts[start] : self.ends[end - 1]] if start < end else ""


def read_words(text: str) -> Words:
    """Split `text` into words, numbers, quotations and single signs."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _WORD.finditer(text if text.isascii() else text.translate(_SAME)):
        word = match.group()
        start, end = match.span()
        if word == "-" and _joins(text, start, end):
            continue
        words.append(word.lower())
        starts.append(start)
        ends.append(end)
    return Words(text, words, starts, ends)


def _joins(text: str, start: int, end: int) -> bool:
    return start > 0 and end < len(text) and text[start - 1].isalpha() and text[end].isalpha()
