"""Phrases: lines of a vocabulary, expanded once and then found by walking words.

A line is words with groups: `(can|could) you` chooses, `[please] add` may leave out,
`<verb>` stands for the lines of a named word class. Groups nest.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
WordClasses = Mapping[str, Sequence[str]]
Phrase = tuple[str, ...]

_PIECE = re.compile(r"\\?[()\[\]|]|[^\s()\[\]|\\]+")
_OPENING = {"(": ")", "[": "]"}
_VALUE = ""  # no word is empty, so a node can keep its value under this key


def expand(line: str, classes: WordClasses | None = None) -> list[Phrase]:
    """All word sequences that `line` stands for; a backslash takes a bracket literally.

    Raises `ValueError` when a group is not closed or a class is not known.
    """
    pieces = iter(_PIECE.findall(line))
    return _alternatives(line, pieces, None, classes or {})


def _alternatives(
    line: str, pieces: Iterator[str], closing: str | None, classes: WordClasses
) -> list[Phrase]:
    found: list[Phrase] = []
    sequence: list[list[Phrase]] = []
    for piece in pieces:
        if piece == closing:
            return found + _sequences(sequence)
        if piece == "|":
            found += _sequences(sequence)
            sequence = []
        elif piece in _OPENING:
            inner = _alternatives(line, pieces, _OPENING[piece], classes)
            sequence.append([*inner, ()] if piece == "[" else inner)
        elif piece.startswith("<") and piece.endswith(">"):
            if piece[1:-1] not in classes:
                raise ValueError(f"no word class {piece} for the phrase {line!r}")
            members = classes[piece[1:-1]]
            sequence.append([phrase for member in members for phrase in expand(member, classes)])
        else:
            sequence.append([(piece.removeprefix("\\"),)])
    if closing is not None:
        raise ValueError(f"{closing!r} is missing in the phrase {line!r}")
    return found + _sequences(sequence)


def _sequences(parts: list[list[Phrase]]) -> list[Phrase]:
    return [tuple(word for phrase in choice for word in phrase) for choice in product(*parts)]


class PhraseTable(Generic[Value]):
    """Phrases with a value each; finding one costs no more than its own length."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, phrase: Iterable[str], value: Value) -> None:
        """Enter `phrase`; the first value given for a phrase stays."""
        node = self._root
        for word in phrase:
            node = node.setdefault(word, {})
        node.setdefault(_VALUE, value)

    def longest(self, words: Sequence[str], start: int, end: int) -> tuple[int, Value] | None:
        """Where the longest phrase that begins at `start` ends, and its value."""
        node = self._root
        found = None
        at = start
        while at < end:
            node = node.get(words[at])  # type: ignore[assignment]
            if node is None:
                break
            at += 1
            if _VALUE in node:
                found = (at, node[_VALUE])
        return found

    def every(self, words: Sequence[str], start: int, end: int) -> list[tuple[int, Value]]:
        """All phrases that begin at `start`, the shortest first."""
        node = self._root
        found = []
        at = start
        while True:
            if _VALUE in node:
                found.append((at, node[_VALUE]))
            if at >= end or (node := node.get(words[at])) is None:  # type: ignore[assignment]
                return found
            at += 1

    def skip(self, words: Sequence[str], start: int, end: int) -> int:
        """The first place at or after `start` where no phrase of the table begins."""
        while start < end:
            found = self.longest(words, start, end)
            if found is None:
                break
            start = found[0]
        return start


def table(
    lines: Mapping[str, Value] | Iterable[tuple[str, Value]], classes: WordClasses | None = None
) -> PhraseTable[Value]:
    """A table of expanded lines, each with its value."""
    made: PhraseTable[Value] = PhraseTable()
    for line, value in lines.items() if isinstance(lines, Mapping) else lines:
        for phrase in expand(line, classes):
            if phrase:
                made.add(phrase, value)
    return made


def phrase_set(lines: Iterable[str], classes: WordClasses | None = None) -> PhraseTable[bool]:
    """A table that only says whether a phrase is there."""
    return table(((line, True) for line in lines), classes)
