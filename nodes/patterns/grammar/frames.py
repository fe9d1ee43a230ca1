"""Frames: sentences with slots, found by the words around the slots."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodes.patterns.grammar.phrases import PhraseTable, WordClasses, backwards, parse, phrase_set

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One sentence: which action it asks for, its slots, and the words between two slots."""

    action: str
    slots: tuple[str, ...]
    between: PhraseTable[bool] | None
    order: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A frame that fits: each slot with its first and last place, and how many words are fixed."""

    frame: Frame
    places: dict[str, tuple[int, int]]
    fixed: int

    def names(self, *wanted: str, symbols: Sequence[str]) -> bool:
        """Whether any of `wanted` is among the words around the slots."""
        inside = sum(
            symbols[first:last].count(name)
            for first, last in self.places.values()
            for name in wanted
        )
        return sum(symbols.count(name) for name in wanted) > inside


class FrameTable:
    """All frames, found from both ends of a clause at once.

    The words before the first slot and after the last one are walked once each, whatever the
    number of frames; words between two slots are searched once per frame that fits so far.
    """

    def __init__(self, frames: Mapping[str, Iterable[str]], classes: WordClasses) -> None:
        self._before: PhraseTable[Frame] = PhraseTable()
        self._after: PhraseTable[Frame] = PhraseTable()
        order = 0
        for action, lines in frames.items():
            for line in lines:
                before, *inner, after = _SLOT.split(line)
                between = phrase_set([inner[1]], classes) if len(inner) == 3 else None
                frame = Frame(action, tuple(inner[0::2]), between, order)
                self._before.add(parse(before, classes), frame)
                self._after.add(backwards(parse(after, classes)), frame)
                order += 1

    def fits(self, symbols: Sequence[str]) -> list[Fit]:
        """The frames that fit the whole of `symbols`, the most fixed words first."""
        total = len(symbols)
        tails: dict[int, int] = {}
        for length, frames in self._after.every(symbols[::-1], 0, total):
            for frame in frames:
                tails[frame.order] = length
        found: dict[int, Fit] = {}
        for length, frames in self._before.every(symbols, 0, total):
            for frame in frames:
                tail = tails.get(frame.order)
                if tail is not None and length + tail < total:
                    fit = _fit(frame, symbols, length, total - tail)
                    if fit is not None:
                        found[frame.order] = fit
        return sorted(found.values(), key=lambda fit: (-fit.fixed, fit.frame.order))


def _fit(frame: Frame, symbols: Sequence[str], start: int, end: int) -> Fit | None:
    fixed = start + len(symbols) - end
    if frame.between is None:
        return Fit(frame, {frame.slots[0]: (start, end)}, fixed)
    for at in range(start + 1, end - 1):
        found = frame.between.longest(symbols, at, end - 1)
        if found is not None:
            first, second = frame.slots
            places = {first: (start, at), second: (found[0], end)}
            return Fit(frame, places, fixed + found[0] - at)
    return None
