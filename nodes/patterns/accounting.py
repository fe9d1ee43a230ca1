"""Which words of a prompt a plan has used, and what they meant.

A plan is only handed out when every word is accounted for: used by a step, or one of the words
that ask for nothing (`english.accounted`). So no half of a request is dropped in silence, whatever
the tables of the readers let through.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nodes.patterns.english.small_talk import talk_ends
from nodes.patterns.grammar.words import Words

CONNECTOR = "connector"
MARK = "mark"
POLITENESS = "politeness"
REMARK = "remark"


@dataclass(frozen=True, slots=True)
class Account:
    """What the characters from `start` to `end` of a prompt meant."""

    start: int
    end: int
    meaning: str


class Ledger:
    """Collects what the words of one prompt were used for."""

    def __init__(self, prompt: Words) -> None:
        self._prompt = prompt
        self._meanings: list[str | None] = [None] * len(prompt.words)

    def use(self, start: int, end: int, meaning: str) -> None:
        """Note that the words from `start` to `end` mean this; what is noted already stays."""
        meanings = self._meanings
        for at in range(start, end):
            if meanings[at] is None:
                meanings[at] = meaning

    def talk(self, start: int, end: int, *, sums: bool = False) -> None:
        """Note which of the unused words there ask for nothing; `sums`: around a calculation."""
        for first, last in list(self._unused(start, end)):
            at = first
            while at < last:
                reached = talk_ends(self._prompt.words, at, last, sums=sums)
                if reached > at:
                    self.use(at, reached, POLITENESS)
                at = max(reached, at + 1)

    def missing(self) -> list[tuple[int, int]]:
        """The words that nothing has accounted for, as ranges."""
        return list(self._unused(0, len(self._meanings)))

    def accounts(self) -> list[Account]:
        """What all words meant, in order; neighbours of one meaning are one account."""
        prompt = self._prompt
        made: list[Account] = []
        for at, meaning in enumerate(self._meanings):
            if meaning is None:
                continue
            start, end = prompt.starts[at], prompt.ends[at]
            if made and made[-1].meaning == meaning:
                made[-1] = Account(made[-1].start, end, meaning)
            else:
                made.append(Account(start, end, meaning))
        return made

    def _unused(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        first = None
        for at in range(start, end):
            if self._meanings[at] is None:
                first = at if first is None else first
            elif first is not None:
                yield first, at
                first = None
        if first is not None:
            yield first, end
