"""What stands in the slots of a to-do sentence, as inputs of a to-do tool."""

from nodes.patterns.antecedent import Earlier, is_whole
from nodes.patterns.english.list_names import (
    LIST,
    NO_ITEM_BEGINS,
    TODO,
    TODOS,
    UNFINISHED,
    View,
    belongs_elsewhere,
    is_beside_the_list,
    is_foreign,
    is_plain,
    is_sentence,
    is_vague,
)
from nodes.patterns.english.list_words import (
    ALL,
    ANYTHING,
    ASKED_FRONTS,
    CHANGING,
    DENYING,
    KINDS_OF_TODOS,
)
from nodes.patterns.english.todo_words import (
    LONGEST_END,
    TEXT_ENDS,
    TEXT_FRONTS,
    TO_A_STATE,
    TODO_ENDS,
    TODO_FRONTS,
)
from nodes.patterns.grammar.phrases import Fit, PhraseTable
from nodes.patterns.grammar.words import Words, literal
from nodes.patterns.todos import items
from nodes.patterns.todos.items import (
    Ambiguous,
    is_done_state,
    is_number,
    is_reference,
    is_state,
    text_with_results,
)
from nodes.patterns.todos.openings import (
    NAMING,
)


def slot_is_quoted(words: list[str], start: int, end: int) -> bool:
    """Whether nothing but one quotation stands there."""
    return end - start == 1 and words[start][0] in "\"'"


_PARTING = frozenset({"in", "at", "which", "that", "with", "where", "from", "due"})
_WORDING = frozenset({"text", "name", "title", "description", "wording"})
_TO_STATE = frozenset({"to", "into", "as", "be"})
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

    def asked(self) -> dict[str, str] | None:
        """What is asked about the list: whether `item` is on it, or what of `few` is.

        None where the words name another list, or only some of the to-dos.
        """
        slot = self.fit.template.slots[0]
        symbols = self.symbols(slot)
        if slot == "few":
            return {} if KINDS_OF_TODOS.issuperset(symbols) else None
        if LIST in symbols:
            return None
        if ANYTHING.issuperset(symbols):
            return {}
        start, end = self._trimmed(slot, ASKED_FRONTS, TODO_ENDS)
        words = self.prompt.words
        if start >= end or words[start] in CHANGING or words[end - 1] in DENYING:
            return None  # "do i need to add soap to my list"
        if self.earlier.before and self.earlier.is_before and self._refers(start, end):
            self.earlier.before.meant_otherwise = True
            name = None if self.earlier.results else self.earlier.before.name
            return {"show": "exists", "text": name} if name else None
        try:
            text = text_with_results(self.prompt, start, end, self.earlier)
        except Ambiguous:
            return None
        return {"show": "exists", "text": text}

    def _refers(self, start: int, end: int) -> bool:
        words = self.prompt.words
        return is_whole(words, start, end) or is_whole(words, start, end, todo=True)

    def text(self, slot: str) -> str | None:
        """The words of a new to-do, or a reference to a computed value."""
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        if is_whole(self.prompt.words, start, end):
            return None if self._is_named(start) else self.earlier.result
        if self.earlier.conversation and is_reference(self.prompt.words, start, end):
            self.earlier.conversation.meant_otherwise = True
            return None  # "put it back on my list", "add the first one to my list"
        if self.earlier.conversation and slot == "few" and is_number(symbols):
            self.earlier.conversation.meant_otherwise = True
            return None  # "add it to my list and add 1 to it"
        if is_vague(symbols) or items.is_quantity(symbols) or not self._is_ours(symbols):
            return None
        if symbols[0][0] == '"' and len(symbols) > 1:
            return None  # '"soap" and a todo "towels"'
        if symbols[0] in NO_ITEM_BEGINS or (slot == "few" and not is_plain(symbols)):
            return None
        first, last = self._trimmed(slot, TEXT_FRONTS, TEXT_ENDS)
        if self.earlier.is_before and last - first > 1 and self.prompt.words[last - 1] == "instead":
            last -= 1
        try:
            return text_with_results(
                self.prompt, first, last, self.earlier, named=self._is_named(start)
            )
        except Ambiguous:
            return None

    def says_state(self) -> bool:
        """Whether the new text of a to-do is none, but says in which state it is or should be.

        So does all that a to-do "should be", unless that is quoted.
        """
        start, end = self.words("text")
        words = self.prompt.words
        if slot_is_quoted(words, start, end):
            return False
        return self._should_be(start) or is_state(words, start, end)

    def says_done(self) -> bool:
        """Whether that state is that it is done, and nothing else can be meant."""
        start, end = self.words("text")
        words = self.prompt.words
        changes = TO_A_STATE.longest(words, self.seen.at[0], end) is not None
        changes = changes and words[start - 1] in _TO_STATE
        changes = changes and _WORDING.isdisjoint(words[self.seen.at[0] : start])
        return (changes or self._should_be(start)) and is_done_state(words, start, end)

    def _should_be(self, start: int) -> bool:
        return self.prompt.words[start - 2 : start] == ["should", "be"]

    def gone(self) -> str | None:
        """The words of a deleted to-do, where nothing but "it" stands for it."""
        start, end = self.words("gone")
        if self.earlier.before is None or not self._refers(start, end):
            return None
        self.earlier.before.meant_otherwise = True
        return self.earlier.before.gone

    def _is_named(self, start: int) -> bool:
        """Whether the word before says that a name follows, which stands for nothing else."""
        return start > 0 and self.prompt.words[start - 1] in NAMING

    def todo(self, slot: str, *, several: bool = False) -> str | list[str] | None:
        """The to-do that is meant: its place, a reference to it, or its words.

        A list of them where `several` may be meant and are.
        """
        first, _ = self.fit.places[slot]
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        if self._is_named(start) or slot_is_quoted(self.prompt.words, start, end):
            return self._by_name(start, end, symbols, several=several)
        if several and (everyone := self.earlier.all_todos(symbols)) is not None:
            return everyone
        if (many := self._many(start, end, symbols)) is not None:
            return (many or None) if several else None
        if symbols[0] in ALL or TODOS in symbols or items.names_another(symbols):
            return None  # "everything except milk", "half of my todos"
        numbered = not {TODO, TODOS}.isdisjoint(self.seen.symbols[:first])
        if numbered:
            symbols = items.without_haste(symbols)
        if items.is_quantity(symbols) or items.goes_on_after_place(symbols, numbered=numbered):
            return None
        place = items.position(symbols, numbered=numbered)
        if place is not None:
            return self._at(place, symbols)
        if is_whole(self.prompt.words, start, end, todo=True):
            return self.earlier.todo
        if slot == "known" or not self._is_todo(slot, symbols, numbered=numbered):
            return None
        start, end = self._trimmed(slot, TODO_FRONTS, TODO_ENDS)
        return literal(items.wording(self.prompt, start, end))

    def _at(self, place: str, symbols: list[str]) -> str | None:
        """The to-do at a place: of the list where that is named, else of what was listed."""
        if LIST in self.seen.symbols:
            return place
        return self.earlier.place(place, symbols)

    def _is_todo(self, slot: str, symbols: list[str], *, numbered: bool) -> bool:
        """Whether the words of a slot can be those of a to-do that is on the list."""
        if numbered and (symbols[0] in _PARTING or symbols == ["count"]):
            return False  # "delete the todo which contains soap"
        if self.earlier.conversation and symbols[0] == "it":
            self.earlier.conversation.meant_otherwise = True
            return False  # "make it say done"
        if self.earlier.results and is_whole(self.prompt.words, *self.words(slot)):
            return False  # a value is no to-do
        if slot == "few" and not is_plain(symbols):
            return False
        if is_vague(symbols) or not self._is_ours(symbols):
            return False
        named = self.fit.names(LIST, TODOS, TODO, symbols=self.seen.symbols)
        return named or not is_foreign(symbols)

    def _many(self, start: int, end: int, symbols: list[str]) -> list[str] | None:
        """Several places, or several quotations; the quoted word "all" is no order for all.

        None of them where nothing is at one of the places.
        """
        if (many := items.places(symbols)) is not None:
            found = [self._at(place, symbols) for place in many]
            return [place for place in found if place] if all(found) else []
        words = self.prompt.words
        quoted = items.quotations(words, start, end)
        texts = [literal(items.wording(self.prompt, *part)) for part in quoted]
        return texts if len(texts) > 1 else None

    def _by_name(
        self, start: int, end: int, symbols: list[str], *, several: bool
    ) -> str | list[str]:
        """A to-do that is quoted or called so: its words, whatever else they would mean."""
        text = literal(items.wording(self.prompt, start, end))
        if not several:
            return text
        means_more = items.position(symbols, numbered=True) is not None
        return [text] if means_more or text.casefold() == items.EVERY else text

    def _trimmed(
        self, slot: str, fronts: PhraseTable[bool], ends: PhraseTable[bool]
    ) -> tuple[int, int]:
        """The words of a slot without what leads to them and away from them."""
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
        return self.seen.at[first], self.seen.at[last]

    def _is_ours(self, symbols: list[str]) -> bool:
        """With the list named around an item it cannot be named in it; without, it must be ours."""
        if symbols[0] in _ADDRESSED and len(symbols) > 1:
            return False  # "i need you to add …", "i want you show me …"
        if symbols[-1] in UNFINISHED or symbols[0] in ("to", "on"):
            return False  # something was cut off, or belongs to "i don't want to …"
        if symbols[-1] in ("it", "them") and "," in symbols:
            return False  # two sentences: "forget the dishes, remove it"
        if self.fit.places[self.fit.template.slots[0]][0] == 0 and is_sentence(symbols):
            return False
        if self.fit.names(LIST, TODOS, symbols=self.seen.symbols):
            return LIST not in symbols and not is_beside_the_list(symbols)
        return not belongs_elsewhere(symbols)
