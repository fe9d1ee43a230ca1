"""The lines of a prompt and the marks before them: "- bread", "2. show my list", "[ ] call Ann".

Read before anything else: a line ends every request, and a mark belongs to no item.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nodes.patterns.grammar.words import Words

_BULLETS = frozenset({"-", "*", "•", "+", "◦", "▪", "‣", "●", "○", ">", "→"})
_SIGNS = frozenset({"-", "+"})
_AFTER_NUMBER = frozenset({".", ")", ":"})
_CHECKED = frozenset({"x", "v", "✓"})
_LARGEST_NUMBER = 3  # digits of one that numbers a line


@dataclass(frozen=True, slots=True)
class Line:
    """Words `start` to `end` of the prompt, without the mark, which begins at `mark`."""

    start: int
    end: int
    mark: int
    after_blank: bool

    @property
    def is_marked(self) -> bool:
        """Whether the line is an item of a list."""
        return self.mark < self.start


def read_lines(prompt: Words) -> list[Line]:
    """The lines of a prompt that have words."""
    lines: list[Line] = []
    begin = 0
    blank = False
    for end in _ends(prompt.words):
        if begin < end:
            start = begin + mark_at(prompt, begin, end)
            lines.append(Line(start, end, begin, blank))
        blank = begin == end
        begin = end + 1
    if len(lines) == 1 and _is_sign(prompt, lines[0]):
        only = lines[0]
        return [Line(only.mark, only.end, only.mark, only.after_blank)]
    return lines


def _ends(words: list[str]) -> Iterator[int]:
    for at, word in enumerate(words):
        if word == "\n":
            yield at
    yield len(words)


def _is_sign(prompt: Words, line: Line) -> bool:
    """Whether the one mark of a prompt is a minus or a plus: "- 5 + 3"."""
    first = prompt.words[line.mark]
    return (
        line.is_marked
        and first in _SIGNS
        and line.start < line.end
        and prompt.words[line.start][0].isdigit()
    )


def mark_at(prompt: Words, at: int, end: int) -> int:
    """How many words the mark at `at` has, if one is there and something follows it."""
    words = prompt.words
    reached = at
    if words[at] in _BULLETS:
        reached = at + 1
    elif words[at].isdecimal() and len(words[at]) <= _LARGEST_NUMBER:
        if at + 1 < end and words[at + 1] in _AFTER_NUMBER:
            reached = at + 2
    elif words[at] == "(" and at + 2 < end and words[at + 2] == ")":
        reached = at + 3 if words[at + 1].isdecimal() else at
    elif len(words[at]) == 1 and words[at].isalpha() and at + 1 < end and words[at + 1] == ")":
        reached = at + 2
    if reached > at and not _is_apart(prompt, reached, end):
        return 0
    return _after_box(words, reached, end) - at


def _is_apart(prompt: Words, at: int, end: int) -> bool:
    """Whether a space parts what is before `at` from what is there."""
    return at < end and prompt.ends[at - 1] < prompt.starts[at]


def _after_box(words: list[str], at: int, end: int) -> int:
    """Past "[ ]" or "[x]"."""
    if at < end and words[at] in ("☐", "☑", "✓"):
        return at + 1
    if at + 1 < end and words[at] == "[":
        if words[at + 1] == "]":
            return at + 2
        if at + 2 < end and words[at + 1] in _CHECKED and words[at + 2] == "]":
            return at + 3
    return at


def inline_marks(prompt: Words, start: int, end: int) -> list[tuple[int, int]]:
    """The items of a list written in one line: "1. milk 2. eggs", "- milk - eggs"."""
    size = mark_at(prompt, start, end) if start < end else 0
    if not size:
        return []
    items: list[tuple[int, int]] = []
    begin = start + size
    expected = 2
    first = prompt.words[start]
    numbered = first.isdecimal() or (first == "(" and prompt.words[start + 1].isdecimal())
    at = begin
    while at < end:
        word = prompt.words[at]
        marks = word in (str(expected), "(") if numbered else word == first
        size = mark_at(prompt, at, end) if marks and at > begin else 0
        if size and (not numbered or str(expected) in prompt.words[at : at + size]):
            items.append((begin, at))
            begin = at = at + size
            expected += 1
        else:
            at += 1
    items.append((begin, end))
    return items if len(items) > 1 else []
