"""The slots of a frame that fits, as inputs of a to-do tool."""

from nodes.patterns import items
from nodes.patterns.frames import Fit
from nodes.patterns.list_names import LIST, TODO, TODOS, View
from nodes.patterns.references import Earlier, is_whole
from nodes.patterns.requests import literal
from nodes.patterns.unfit_items import belongs_elsewhere, is_vague, rings
from nodes.patterns.words import Words


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

    def text(self, slot: str) -> str | None:
        """The words of a new to-do, or a reference to a computed value."""
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        if is_whole(self.prompt.words, start, end):
            return self.earlier.number
        if is_vague(symbols) or not self._is_ours(symbols):
            return None
        if slot == "wish" and rings(symbols):
            return None
        return literal(items.wording(self.prompt, start, end))

    def todo(self, slot: str) -> str | None:
        """The to-do that is meant: its place, a reference to it, or its words."""
        first, last = self.fit.places[slot]
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        place = items.position(symbols, numbered=TODO in self.seen.symbols[:first])
        if place is not None:
            return place
        if is_whole(self.prompt.words, start, end, todo=True):
            return self.earlier.todo
        if slot == "known" or is_vague(symbols) or not self._is_ours(symbols):
            return None
        if items.several_positions(symbols):
            return None  # after the first is gone, the second has another place
        if len(symbols) > 1 and symbols[-1] == TODO:
            end = self.seen.at[last - 1]  # "the laundry item"
        return literal(items.wording(self.prompt, start, end))

    def _is_ours(self, symbols: list[str]) -> bool:
        """With the list named around an item it cannot be named in it; without, it must be ours."""
        if self.fit.names(LIST, TODOS, symbols=self.seen.symbols):
            return LIST not in symbols
        return not belongs_elsewhere(symbols)
