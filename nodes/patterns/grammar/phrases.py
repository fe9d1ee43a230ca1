"""Tables of phrases, found by walking the words of a prompt once, and templates of sentences.

Lines share their beginnings and become an automaton. Its deterministic states are made when they
are first walked: to make them all ahead would take seconds, most are never used, and what is kept
is bounded by the vocabulary, not by what people write. A template is a sentence with slots, found
by the words around the slots.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

_ROOT = frozenset({0})


class _State(Generic[Value]):
    __slots__ = ("members", "next", "values")

    def __init__(self, members: frozenset[int], values: tuple[Value, ...]) -> None:
        self.members = members
        self.values = values
        self.next: dict[str, _State[Value] | None] = {}


#: One after the other: one of some words, or one of some sequences.
Elements = list["tuple[str, ...] | Choice"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences; none of them where it may be left out."""

    options: list[Elements]
    optional: bool = False


class PhraseTable(Generic[Value]):
    """Phrases with their values; to find one costs no more than its own length."""

    def __init__(self) -> None:
        # By which words each place leads to which. Most places are never walked to: they are looked
        # up by word from then on. The first one has hundreds, a list that grows in its place.
        self._edges: list[Any] = [[]]  # of words, their place, words, their place …
        self._by_word: dict[int, dict[str, list[int]]] = {}
        self._values: dict[int, tuple[Value, ...]] = {}
        self._vocabulary: set[str] = set()
        self._known: dict[frozenset[int], _State[Value]] = {}

    def add(self, phrases: Choice, value: Value) -> None:
        """Enter all of `phrases`; of several values for one phrase the first counts most."""
        self._known.clear()
        self._by_word.clear()
        alone = (value,)
        for end in self._extend({0}, phrases):
            before = self._values.get(end)
            self._values[end] = (*before, value) if before else alone

    def longest(self, words: Sequence[str], start: int, end: int) -> tuple[int, Value] | None:
        """Where the longest phrase that begins at `start` ends, and its value."""
        state = self._known.get(_ROOT) or self._state(_ROOT)
        found = None
        while start < end and (following := self._after(state, words[start])) is not None:
            state = following
            start += 1
            if state.values:
                found = (start, state.values[0])
        return found

    def every(
        self, words: Sequence[str], start: int, end: int
    ) -> list[tuple[int, tuple[Value, ...]]]:
        """Where each phrase that begins at `start` ends, the shortest first, and its values."""
        state = self._known.get(_ROOT) or self._state(_ROOT)
        found = [(start, state.values)] if state.values else []
        at = start
        while at < end and (following := self._after(state, words[at])) is not None:
            state = following
            at += 1
            if state.values:
                found.append((at, state.values))
        return found

    def skip(self, words: Sequence[str], start: int, end: int, most: int = -1) -> int:
        """The first place at or after `start` where no phrase begins, or `most` phrases on."""
        while most != 0 and (found := self.longest(words, start, end)) is not None:
            start = found[0]
            most -= 1
        return start

    def _extend(self, starts: set[int], choice: Choice) -> set[int]:
        ends = set(starts) if choice.optional else set()
        for option in choice.options:
            here = starts
            for part in option:
                here = (
                    self._extend(here, part)
                    if isinstance(part, Choice)
                    else {self._step(here, part)}
                )
            ends |= here
        return ends

    def _step(self, starts: set[int], words: tuple[str, ...]) -> int:
        self._vocabulary.update(words)
        target = len(self._edges)
        self._edges.append(())
        edge = (words, target)
        for start in starts:
            self._edges[start] += edge
        return target

    def _targets(self, place: int, word: str) -> Sequence[int]:
        """Where a word leads from a place."""
        by_word = self._by_word.get(place)
        if by_word is None:
            by_word = self._by_word[place] = {}
            edges = self._edges[place]
            for words, target in zip(edges[::2], edges[1::2], strict=True):
                for known in words:
                    by_word.setdefault(known, []).append(target)
        return by_word.get(word, ())

    def _state(self, members: frozenset[int]) -> _State[Value]:
        state = self._known.get(members)
        if state is None:
            values = [value for at in sorted(members) for value in self._values.get(at, ())]
            state = self._known[members] = _State(members, tuple(dict.fromkeys(values)))
        return state

    def _after(self, state: _State[Value], word: str) -> _State[Value] | None:
        if word in state.next:
            return state.next[word]
        if word not in self._vocabulary:
            return None
        members = frozenset(
            target for member in state.members for target in self._targets(member, word)
        )
        state.next[word] = following = self._state(members) if members else None
        return following


WordClasses = Mapping[str, Sequence[str]]


def table(lines: Mapping[str, Value], classes: WordClasses | None = None) -> PhraseTable[Value]:
    """A table of lines, each with its value."""
    made: PhraseTable[Value] = PhraseTable()
    parser = Parser(classes or {})
    for line, value in lines.items():
        made.add(parser.parse(line), value)
    return made


def phrase_set(lines: Iterable[str], classes: WordClasses | None = None) -> PhraseTable[bool]:
    """A table that only says whether a phrase is there."""
    return table(dict.fromkeys(lines, True), classes)


def word_set(*lines: str) -> frozenset[str]:
    """The single words of some lines."""
    return frozenset(word for line in lines for word in line.split())


_PIECE = re.compile(r"[()\[\]|]|<[^<>]+>|[^\s()\[\]|<>]+")
_CLOSING = {"(": ")", "[": "]"}


class Parser:
    """What lines stand for that use these word classes, each of which is read once."""

    def __init__(self, classes: WordClasses) -> None:
        self._classes = classes
        self._known: dict[str, Choice] = {}
        self._alone: dict[str, tuple[str, ...]] = {}

    def parse(self, line: str) -> Choice:
        """What `line` stands for.

        Raises `ValueError` when a group is not closed or a word class is not known.
        """
        return self._options(line, iter(_PIECE.findall(line)), "")

    def _options(self, line: str, pieces: Iterator[str], closing: str) -> Choice:
        options: list[Elements] = [[]]
        for piece in pieces:
            if piece == closing:
                return choice(options, optional=closing == "]")
            if piece == "|":
                options.append([])
            elif piece in _CLOSING:
                options[-1].append(self._options(line, pieces, _CLOSING[piece]))
            elif piece[0] == "<":
                options[-1].append(self._class(line, piece))
            else:
                alone = self._alone.get(piece)
                if alone is None:
                    alone = self._alone[piece] = (sys.intern(piece),)
                options[-1].append(alone)
        if closing:
            raise ValueError(f"{closing!r} is missing in the phrase {line!r}")
        return choice(options)

    def _class(self, line: str, piece: str) -> Choice:
        known = self._known.get(piece)
        if known is None:
            members = self._classes.get(piece[1:-1])
            if members is None:
                raise ValueError(f"the phrase {line!r} uses {piece}, which is no word class here")
            parsed = [self.parse(member) for member in members]
            known = choice(option for one in parsed for option in one.options)
            self._known[piece] = known
        return known


def choice(options: Iterable[Elements], *, optional: bool = False) -> Choice:
    """The choice of these sequences; those of one word are one, since they lead to one place."""
    words: tuple[str, ...] = ()
    longer: list[Elements] = []
    for option in options:
        match option:
            case [tuple() as alone]:
                words = words + alone if words else alone
            case _:
                longer.append(option)
    return Choice([[words], *longer] if words else longer, optional)


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
    return _firsts(Parser(classes).parse(line))


def _firsts(choice: Choice) -> set[str]:
    found: set[str] = set()
    for option in choice.options:
        for part in option:
            if not isinstance(part, Choice):
                found.update(part)
                break
            found |= _firsts(part)
            if not part.optional:
                break
    return found


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
        self._after: PhraseTable[int] = PhraseTable()  # the orders of templates
        parser, order = Parser(classes), 0
        for action, lines in templates.items():
            for line in lines:
                before, *inner, after = _SLOT.split(line)
                between = phrase_set([inner[1]], classes) if len(inner) == 3 else None
                template = SentenceTemplate(action, tuple(inner[0::2]), between, order)
                self._before.add(parser.parse(before), template)
                self._after.add(backwards(parser.parse(after)), order)
                order += 1

    def fits(self, symbols: Sequence[str]) -> list[Fit]:
        """The templates that fit the whole of `symbols`, the most fixed words first."""
        total = len(symbols)
        tails: dict[int, int] = {}
        for length, orders in self._after.every(symbols[::-1], 0, total):
            tails.update(dict.fromkeys(orders, length))
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
