"""Sentence templates: sentences with slots, found by the words around the slots."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodes.patterns.grammar.phrases import PhraseTable, WordClasses, backwards, parse, phrase_set

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class SentenceTemplate:
    """One sentence: which action it asks for, its slots, and the words between two slots."""

    action: str
    slots: tuple[str, ...]
    between: PhraseTable[bool] | None
    order: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A template that fits: the first and last place of each slot, and how many words are fixed."""

    template: SentenceTemplate
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


class TemplateTable:
    """All templates, found from both ends of a clause at once.

    The words before the first slot and after the last one are walked once each, whatever the
    number of templates; words between two slots are searched once per template that fits so far.
    """

    def __init__(self, templates: Mapping[str, Iterable[str]], classes: WordClasses) -> None:
        self._before: PhraseTable[SentenceTemplate] = PhraseTable()
        self._after: PhraseTable[SentenceTemplate] = PhraseTable()
        order = 0
        for action, lines in templates.items():
            for line in lines:
                before, *inner, after = _SLOT.split(line)
                between = phrase_set([inner[1]], classes) if len(inner) == 3 else None
                template = SentenceTemplate(action, tuple(inner[0::2]), between, order)
                self._before.add(parse(before, classes), template)
                self._after.add(backwards(parse(after, classes)), template)
                order += 1

    def fits(self, symbols: Sequence[str]) -> list[Fit]:
        """The templates that fit the whole of `symbols`, the most fixed words first."""
        total = len(symbols)
        tails: dict[int, int] = {}
        for length, templates in self._after.every(symbols[::-1], 0, total):
            for template in templates:
                tails[template.order] = length
        found: dict[int, Fit] = {}
        for length, templates in self._before.every(symbols, 0, total):
            for template in templates:
                tail = tails.get(template.order)
                if tail is not None and length + tail < total:
                    fit = _fit(template, symbols, length, total - tail)
                    if fit is not None:
                        found[template.order] = fit
        return sorted(found.values(), key=lambda fit: (-fit.fixed, fit.template.order))


def _fit(template: SentenceTemplate, symbols: Sequence[str], start: int, end: int) -> Fit | None:
    fixed = start + len(symbols) - end
    if template.between is None:
        return Fit(template, {template.slots[0]: (start, end)}, fixed)
    for at in range(start + 1, end - 1):
        found = template.between.longest(symbols, at, end - 1)
        if found is not None:
            first, second = template.slots
            places = {first: (start, at), second: (found[0], end)}
            return Fit(template, places, fixed + found[0] - at)
    return None
