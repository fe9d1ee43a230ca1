"""Reads a clause as a request about to-dos."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from nodes.patterns.arithmetic import read_expression
from nodes.patterns.english.list_names import LIST, TODO, TODOS, View, view
from nodes.patterns.english.list_words import (
    ANYTHING,
    ASKED_FRONTS,
    CHANGING,
    DENYING,
    KINDS_OF_TODOS,
)
from nodes.patterns.english.rejected_items import (
    NO_ITEM_BEGINS,
    PLACING,
    UNFINISHED,
    belongs_elsewhere,
    is_beside_the_list,
    is_foreign,
    is_plain,
    is_sentence,
    is_vague,
)
from nodes.patterns.english.set_words import ALL
from nodes.patterns.english.todo_openings import Opens
from nodes.patterns.english.todo_templates import ELLIPTIC_TEMPLATES, TEMPLATES
from nodes.patterns.english.todo_words import (
    CLASSES,
    LONGEST_END,
    TEXT_ENDS,
    TEXT_FRONTS,
    TODO_ENDS,
    TODO_FRONTS,
)
from nodes.patterns.grammar.calls import (
    CALCULATOR,
    STORE,
    Call,
    Earlier,
    Use,
    calculation,
    is_whole,
    literal,
)
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import PhraseTable, phrase_set
from nodes.patterns.grammar.templates import Fit, TemplateTable
from nodes.patterns.grammar.words import Words
from nodes.patterns.todos import items, sets
from nodes.patterns.todos.fuzzy import read_fuzzily
from nodes.patterns.todos.listing import names_other_time, read_listing
from nodes.patterns.todos.openings import (
    NAMING,
    Opening,
    after_time,
    parts_of,
    says_when,
    text_of,
)
from nodes.patterns.todos.references import Ambiguous, text_with_results

_TEXTS = frozenset({"text"})
#: "the sum of 3 and 4", as something to put on the list, is computed first.
_RESULT_OF = phrase_set(
    [
        "[the] (result|answer|value|solution) (of|to)",
        "[the] (sum|product|total|difference|quotient) (of|between)",
    ]
)
_COUNTED = frozenset({TODOS, "items", "things"})
_COUNT_WITHIN = 40  # words from the beginning
_REASONS = {
    "add": "asks to put something on the to-do list",
    "list": "asks what is on the to-do list",
    "get": "asks for one to-do",
    "update": "asks to change the words of a to-do",
    "complete": "says that a to-do is done",
    "delete": "asks to take something off the to-do list",
}


@cache
def _templates() -> tuple[TemplateTable, TemplateTable]:
    """The whole sentences and the elliptic ones: the same for every reader, and slow to make."""
    return TemplateTable(TEMPLATES, CLASSES), TemplateTable(ELLIPTIC_TEMPLATES, CLASSES)


# The slots of a template that fits, as inputs of a to-do tool.


def slot_is_quoted(words: list[str], start: int, end: int) -> bool:
    """Whether nothing but one quotation stands there."""
    return end - start == 1 and words[start][0] in "\"'"


_PARTING = frozenset({"in", "at", "which", "that", "with", "where", "from", "due"})
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
        try:
            text = text_with_results(self.prompt, start, end, self.earlier)
        except Ambiguous:
            return None
        return {"show": "exists", "text": text}

    def text(self, slot: str) -> str | None:
        """The words of a new to-do, or a reference to a computed value."""
        start, end = self.words(slot)
        symbols = self.symbols(slot)
        if is_whole(self.prompt.words, start, end):
            return None if self._is_named(start) else self.earlier.result
        if is_vague(symbols) or sets.is_quantity(symbols) or not self._is_ours(symbols):
            return None
        if symbols[0][0] == '"' and len(symbols) > 1:
            return None  # '"soap" and a todo "towels"'
        if symbols[0] in NO_ITEM_BEGINS or (slot == "few" and not is_plain(symbols)):
            return None
        first, last = self._trimmed(slot, TEXT_FRONTS, TEXT_ENDS)
        try:
            return text_with_results(
                self.prompt, first, last, self.earlier, named=self._is_named(start)
            )
        except Ambiguous:
            return None

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
        if (many := self._many(start, end, symbols)) is not None:
            return many if several else None
        if symbols[0] in ALL or TODOS in symbols or sets.names_another(symbols):
            return None  # "everything except milk", "half of my todos"
        numbered = not {TODO, TODOS}.isdisjoint(self.seen.symbols[:first])
        if numbered:
            symbols = sets.without_haste(symbols)
            if symbols[0] in _PARTING or symbols == ["count"]:
                return None  # "delete the todo which contains soap"
        if self.earlier.results and is_whole(self.prompt.words, start, end):
            return None  # a value is no to-do
        if sets.is_quantity(symbols) or sets.goes_on_after_place(symbols, numbered=numbered):
            return None
        place = items.position(symbols, numbered=numbered)
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
        start, end = self._trimmed(slot, TODO_FRONTS, TODO_ENDS)
        return literal(items.wording(self.prompt, start, end))

    def _many(self, start: int, end: int, symbols: list[str]) -> list[str] | None:
        """Several places, or several quotations; the quoted word "all" is no order for all."""
        if (many := sets.places(symbols)) is not None:
            return many
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
        return [text] if means_more or text.casefold() == sets.EVERY else text

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


class TodoReader:
    """Turns clauses into calls of the to-do tools that exist."""

    def __init__(self, tools: Container[str]) -> None:
        self._tools = tools
        self._templates, self._elliptic = _templates()

    def read(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        """The calls that the words from `start` to `end` ask for, or None."""
        seen = view(prompt.words, start, end)
        shown = read_listing(seen.symbols, about_todos=earlier.about_todos)
        if shown is not None and names_other_time(prompt.words, start, end):
            return None
        if shown is not None:
            return self._calls("list", [(shown, start, end)])
        action = sets.read_all(prompt.words, seen, about_todos=earlier.about_todos)
        if action is not None:
            return self._calls(action, [({"todo": sets.EVERY}, start, end)])
        fits = self._templates.fits(seen.symbols)
        if earlier.about_todos:
            fits += self._elliptic.fits(seen.symbols)
        for fit in fits:
            calls = self._fill(fit, Slots(prompt, seen, fit, earlier))
            if calls is not None:
                return calls or None
        count = _take_count(seen)
        if count is not None:
            for fit in self._templates.fits(seen.symbols):
                if fit.template.action == "add several":
                    return self._several(Slots(prompt, seen, fit, earlier), count)
        return None

    def read_fuzzily(
        self, prompt: Words, start: int, end: int, earlier: Earlier
    ) -> list[Call] | None:
        """The same by the classes of the words alone; for clauses that `read` refuses."""
        calls = read_fuzzily(
            prompt,
            start,
            end,
            lambda first, last: self.read(prompt, first, last, earlier),
            lambda action, given: self._calls(action, [(given, start, end)]),
        )
        if calls and calls[0].tool == f"{STORE}list" and names_other_time(prompt.words, start, end):
            return None
        return calls

    def open(
        self,
        prompt: Words,
        opening: Opening,
        rest: list[tuple[int, int]] | int,
        earlier: Earlier,
    ) -> list[Call] | None:
        """The calls that an explicit opening asks for; `rest` is where its words end, or the
        places of items in lines of their own.
        """
        if isinstance(rest, int):
            if not opening.holds_several:
                return self._open_one(prompt, opening, rest, earlier)
            parts = parts_of(prompt, opening, rest)
            if parts is None:
                return None
        else:
            parts = rest
            if opening.count not in (None, len(parts)):
                return None
        if opening.kind in (Opens.COMPLETION, Opens.DELETION):
            action = "complete" if opening.kind is Opens.COMPLETION else "delete"
            todos = [self._named(prompt, *part) for part in parts]
            return self._calls(action, [({"todo": todos}, opening.start, parts[-1][1])])
        try:
            texts = [text_with_results(prompt, *part, earlier) for part in parts]
        except Ambiguous:
            return None
        made = [({"text": text}, *part) for text, part in zip(texts, parts, strict=True)]
        return self._calls("add", made) if all(texts) else None

    @staticmethod
    def _named(prompt: Words, start: int, end: int) -> str:
        place = items.position(prompt.words[start:end], numbered=True)
        return place or literal(items.wording(prompt, start, end))

    def _open_one(
        self, prompt: Words, opening: Opening, end: int, earlier: Earlier
    ) -> list[Call] | None:
        found = text_of(prompt, opening, end)
        if found is None:
            return None
        start, end, whole = found
        opened = opening.start
        reason = _REASONS["add"]
        quoted = items.quotations(prompt.words, start, end)
        if end - start > 1 and not quoted and prompt.words[start][0] == '"':
            return None  # '"soap" and a todo "towels"'
        if len(quoted) > 1:
            made = [({"text": literal(items.wording(prompt, *part))}, *part) for part in quoted]
            return self._calls("add", made)
        behind = ""
        if opening.kind is Opens.REMINDER:
            reason = "asks to be reminded; it becomes a to-do, and nothing will ring"
            begin = after_time(prompt.words, start, end)
            if begin == start and prompt.words[start - 1] == "me":
                return None  # "remind me of the milk"
            if begin > start:
                if prompt.words[begin : begin + 1] != ["to"] or begin + 1 >= end:
                    return None
                behind = f" {prompt.source(start, begin)}"
                start = begin + 1
        elif says_when(prompt.words, start, end):
            reason += "; the time stays in its words, and nothing will ring"
        try:
            text = text_with_results(prompt, start, end, earlier, named=opening.named)
        except Ambiguous:
            return None
        if not text:
            return None
        if opening.priority is not None:
            text = f"{prompt.source(*opening.priority)}: {text}"
        calls = self._calls("add", [({"text": text + behind}, opened, end)])
        uses = (Use(opened, whole, reason),)
        return calls and [replace(call, reasoning=reason, uses=uses) for call in calls]

    def _fill(self, fit: Fit, slots: Slots) -> list[Call] | None:
        """The calls of a template; none when its words name nothing, None when it is not meant."""
        action = fit.template.action
        start, end = slots.seen.at[0], slots.seen.at[-1]
        if action == "add several":
            return self._several(slots, None)
        if action == "list":
            asked = slots.asked()
            return [] if asked is None else self._calls("list", [(asked, start, end)])
        if action == "add" and (calls := self._quoted(slots) or self._computed(slots)):
            return calls
        given: dict[str, str | list[str]] = {}
        for slot in fit.places:
            if slot == "place" and items.position(slots.symbols(slot), numbered=True) is None:
                return None
            is_text = slot in _TEXTS or (slot == "few" and action == "add")
            words = (
                slots.text(slot)
                if is_text
                else slots.todo(slot, several=action in ("complete", "delete"))
            )
            if not words:
                return None if slot in ("known", "place") else []
            given["text" if is_text else "todo"] = words
        return self._calls(action, [(given, start, end)])

    def _quoted(self, slots: Slots) -> list[Call] | None:
        """Each of several quotations as an item of its own."""
        parts = items.quotations(slots.prompt.words, *slots.words(slots.fit.template.slots[0]))
        return self._adding(slots, parts) if len(parts) > 1 else None

    def _computed(self, slots: Slots) -> list[Call] | None:
        """A calculation, and its result as the item."""
        words = slots.prompt.words
        start, end = slots.words(slots.fit.template.slots[0])
        if CALCULATOR not in self._tools or _RESULT_OF.longest(words, start, end) is None:
            return None
        expression = read_expression(words, start, end)
        if expression is None:
            return None
        text = f"{{step_{slots.earlier.steps + 1}_output}}"
        added = self._calls("add", [({"text": text}, slots.seen.at[0], slots.seen.at[-1])])
        return added and [calculation(expression[0], start, end), *added]

    def _several(self, slots: Slots, count: int | None) -> list[Call] | None:
        start, end = slots.words("items")
        if is_vague(slots.symbols("items")) or slots.symbols("items")[0] in PLACING:
            return None
        parts = items.quotations(slots.prompt.words, start, end) or items.separated(
            slots.prompt.words, start, end, count
        )
        return self._adding(slots, parts if count in (None, len(parts)) else [])

    def _adding(self, slots: Slots, parts: list[tuple[int, int]]) -> list[Call] | None:
        made = [({"text": literal(items.wording(slots.prompt, *part))}, *part) for part in parts]
        if not made or not all(given["text"] for given, _, _ in made):
            return None
        calls = self._calls("add", made)
        whole = Use(slots.seen.at[0], slots.seen.at[-1], "adds to-dos")
        return calls and [replace(call, uses=(whole,)) for call in calls]

    def _calls(
        self, action: str, inputs: Sequence[tuple[Mapping[str, Any], int, int]]
    ) -> list[Call] | None:
        tool = STORE + action
        if tool not in self._tools or not inputs:
            return None
        return [
            Call(tool, dict(given), _REASONS[action], start, end) for given, start, end in inputs
        ]


def _take_count(seen: View) -> int | None:
    """Take "3" out of "add 3 tasks: …" and return it."""
    for at in range(1, min(len(seen.symbols) - 1, _COUNT_WITHIN)):
        if seen.symbols[at + 1] in _COUNTED:
            number = read_number(seen.symbols, at, at + 1)
            if number is not None and number[0].isdigit():
                del seen.symbols[at], seen.at[at + 1]
                return int(number[0])
    return None
