"""The slots of a frame that fits, as inputs of a to-do tool."""

from nodes.patterns import items
from nodes.patterns.frames import Fit
from nodes.patterns.list_names import LIST, TODO, TODOS, View
from nodes.patterns.phrases import PhraseTable
from nodes.patterns.references import Earlier, is_whole
from nodes.patterns.requests import literal
from nodes.patterns.todo_words import LONGEST_END, TEXT_ENDS, TEXT_FRONTS, TODO_ENDS, TODO_FRONTS
from nodes.patterns.unfit_items import (
    UNFINISHED,
    belongs_elsewhere,
    is_beside_the_list,
    is_foreign,
    is_plain,
    is_sentence,
    is_vague,
    rings,
)
from nodes.patterns.words import Words

_ADDRESSED = frozenset({"you", "ya", "u"})


class Slots:
    """What stands in the slots of `fit`; each reader gives None for words that will not do."""

    def __init__(self, prompt: Words, seen: View, fit: Fit, earlier: Earlier) -> None:
        self.prompt = prompt
        self.seen = seen
        self.fit = fit
        self.earlier = earlier

    def symbols(self, slot: str) -> list[str]:
        """The words of a slot as symbols."""
        first, last = self.fit.places[slot]
        return self.seen.symbols[first:last]

    def words(self, slot: str) -> tuple[int, int]:
        """The first word of a slot and the one after its last."""
        first, last = self.fit.places[slot]
        return self.seen.at[first], self.seen.at[last]

    def is_kind(self) -> bool:
        """Whether `few` names a kind of to-do, as in "which errands are on my list"."""
        symbols = self.symbols("few")
        return is_plain(symbols) and not is_foreign(symbols)

    def text(self, slot: str) -> str | None:
        """The words of a new to-do, or a reference to a computed value."""
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        if is_whole(self.prompt.words, start, end):
            return self.earlier.result
        if is_vague(symbols) or not self._is_ours(symbols):
            return None
        if slot == "few" and not is_plain(symbols):
            return None
        if slot == "wish" and rings(symbols):
            return None
        return self._wording(slot, TEXT_FRONTS, TEXT_ENDS)

    def todo(self, slot: str) -> str | None:
        """The to-do that is meant: its place, a reference to it, or its words."""
        first, _ = self.fit.places[slot]
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        place = items.position(symbols, numbered=TODO in self.seen.symbols[:first])
        if place is not None:
            return place
        if is_whole(self.prompt.words, start, end, todo=True):
            return self.earlier.todo
        if slot == "few" and not is_plain(symbols):
            return None
        if slot == "known" or is_vague(symbols) or not self._is_ours(symbols):
            return None
        if not self.fit.names(LIST, TODOS, TODO, symbols=self.seen.symbols) and is_foreign(symbols):
            return None
        if items.several_positions(symbols):
            return None  # after the first is gone, the second has another place
        return self._wording(slot, TODO_FRONTS, TODO_ENDS)

    def _wording(self, slot: str, fronts: PhraseTable[bool], ends: PhraseTable[bool]) -> str:
        """The words of a slot as written, without what leads to them and away from them."""
        first, last = self.fit.places[slot]
        symbols = self.seen.symbols
        front = fronts.longest(symbols, first, last - 1)
        if front is not None:
            first = front[0]
        for begin in range(max(first + 1, last - LONGEST_END), last):
            end = ends.longest(symbols, begin, last)
            if end is not None and end[0] == last:
                last = begin
                if fronts is TODO_FRONTS and symbols[first] == "the" and first + 1 < last:
                    first += 1  # "the laundry item" is called "laundry"
                break
        start, stop = self.seen.at[first], self.seen.at[last]
        return literal(items.wording(self.prompt, start, stop))

    def _is_ours(self, symbols: list[str]) -> bool:
        """With the list named around an item it cannot be named in it; without, it must be ours."""
        if symbols[0] in _ADDRESSED and "to" in symbols[1:2]:
            return False  # "i need you to add …"
        if symbols[-1] in UNFINISHED or symbols[0] in ("to", "on"):
            return False  # something was cut off, or belongs to "i don't want to …"
        if symbols[-1] in ("it", "them") and "," in symbols:
            return False  # two sentences: "forget the dishes, remove it"
        if self.fit.places[self.fit.frame.slots[0]][0] == 0 and is_sentence(symbols):
            return False
        if self.fit.names(LIST, TODOS, symbols=self.seen.symbols):
            return LIST not in symbols and not is_beside_the_list(symbols)
        return not belongs_elsewhere(symbols)
