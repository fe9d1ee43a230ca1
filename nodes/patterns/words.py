"""The words of a prompt: lower-cased for the tables, with their places in the original text."""

import re
from dataclasses import dataclass

_WORD = re.compile(
    r"""
      "[^"\n]+" | “[^“”\n]+” | (?<!\w)'[^'\n]+'(?!\w) | (?<!\w)‘[^‘’\n]+’(?!\w)   # quoted
    | [0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)? | [0-9]+(?:\.[0-9]+)? | \.[0-9]+
    | [^\W\d_]+(?:['’][^\W\d_]+)*       # a word, also don't
    | (?<=[^\W\d_])-(?=[^\W\d_])        # the hyphen of to-do joins two words and is none itself
    | \*\* | \n | [^\s]
    """,
    re.VERBOSE,
)

QUOTES = "\"“'‘"


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
    for match in _WORD.finditer(text):
        word = match.group()
        start, end = match.span()
        if word == "-" and _joins(text, start, end):
            continue
        words.append(word.lower().replace("’", "'"))
        starts.append(start)
        ends.append(end)
    return Words(text, words, starts, ends)


def _joins(text: str, start: int, end: int) -> bool:
    return 0 < start and end < len(text) and text[start - 1].isalpha() and text[end].isalpha()
