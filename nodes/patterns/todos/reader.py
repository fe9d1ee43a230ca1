"""Reads a clause as a request about to-dos."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from nodes.patterns.antecedent import Earlier
from nodes.patterns.english.list_names import (
    LIST,
    PLACING,
    TODO,
    TODOS,
    View,
    is_vague,
    view,
)
from nodes.patterns.english.list_words import (
    ALL,
    ALL_OF_THEM,
    ASKING,
    DENYING,
    ELLIPTIC,
    HOW_TO,
    IMPLICIT,
    NEVER_TOGETHER,
    NOT_TOGETHER,
    OTHER_TIMES,
    QUESTIONING,
    SHOWING,
    TIMES,
)
from nodes.patterns.english.todo_templates import (
    AFTER_TEMPLATES,
    ELLIPTIC_TEMPLATES,
    SAID_DONE,
    TEMPLATES,
    WISHES,
)
from nodes.patterns.english.todo_words import (
    CLASSES,
)
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import Fit, TemplateTable, phrase_set
from nodes.patterns.grammar.words import (
    CALCULATOR,
    STORE,
    Call,
    Use,
    Words,
    calculation,
    literal,
    refers_before,
)
from nodes.patterns.sums.reader import read_expression
from nodes.patterns.todos import items
from nodes.patterns.todos.fuzzy import NAMES, read_fuzzily, what_is_asked
from nodes.patterns.todos.items import is_reference
from nodes.patterns.todos.openings import (
    Opening,
    read_opened,
)
from nodes.patterns.todos.slots import Slots

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
def _templates() -> tuple[TemplateTable, ...]:
    """The whole sentences, the elliptic ones, and those that follow another run.

    They are the same for every reader, and slow to make.
    """
    tables = (TEMPLATES, ELLIPTIC_TEMPLATES, AFTER_TEMPLATES)
    return tuple(TemplateTable(table, CLASSES) for table in tables)


class TodoReader:
    """Turns clauses into calls of the to-do tools that exist."""

    def __init__(self, tools: Container[str]) -> None:
        self._tools = tools
        self._templates, self._elliptic, self._after = _templates()

    def read(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        """The calls that the words from `start` to `end` ask for, or None."""
        calls = self._read(prompt, start, end, earlier)
        if calls is None and earlier.is_before:
            shorter = items.before_haste(prompt.words, start, end)
            calls = self._read(prompt, start, shorter, earlier) if shorter < end else None
            return calls if calls and refers_before(calls) else None
        return calls

    def _read(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        seen = view(prompt.words, start, end)
        shown = read_listing(seen.symbols, about_todos=earlier.about_todos)
        if shown is not None and (
            _wishes_for_it(prompt.words, start, end, earlier)
            or _asks_for_it(prompt.words, start, earlier)
        ):
            shown = None
        if shown is not None and names_other_time(prompt.words, start, end):
            return None
        if shown is not None:
            return self._calls("list", [(shown, start, end)])
        action = read_all(prompt.words, seen)
        if action is not None:
            unnamed = {LIST, TODOS, TODO}.isdisjoint(seen.symbols)
            everyone = earlier.everyone() if unnamed else None
            todos = items.EVERY if everyone is None else everyone
            return self._calls(action, [({"todo": todos}, start, end)]) if todos else None
        for fit in self._fits(seen, earlier):
            calls = self._fill(fit, Slots(prompt, seen, fit, earlier))
            if calls is not None:
                return calls or None
        count = _take_count(seen)
        if count is not None:
            for fit in self._templates.fits(seen.symbols):
                if fit.template.action == "add several":
                    return self._several(Slots(prompt, seen, fit, earlier), count)
        return None

    def _fits(self, seen: View, earlier: Earlier) -> list[Fit]:
        """The sentences that the words may be, the likeliest first."""
        fits = self._templates.fits(seen.symbols)
        if earlier.about_todos:
            fits += self._elliptic.fits(seen.symbols)
        return self._after.fits(seen.symbols) + fits if earlier.is_before else fits

    def said_done(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        """The call where "it's done" is said of a to-do that was there before the prompt."""
        found = SAID_DONE.longest(prompt.words, start, end)
        if found is None or found[0] != end or earlier.todo is None:
            return None
        return self._calls("complete", [({"todo": earlier.todo}, start, end)])

    def open(
        self,
        prompt: Words,
        opening: Opening,
        rest: list[tuple[int, int]] | int,
        earlier: Earlier,
    ) -> list[Call] | None:
        """The calls that an explicit opening asks for, or None; see `read_opened`."""
        return read_opened(prompt, opening, rest, earlier, self._calls)

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
        if calls and _is_of_reference(calls[0], prompt.words, start, earlier):
            return None
        if calls and calls[0].tool == f"{STORE}list" and names_other_time(prompt.words, start, end):
            return None
        return calls

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
        if action == "update" and slots.says_state():
            todo = slots.todo(fit.template.slots[0]) if slots.says_done() else None
            return self._calls("complete", [({"todo": todo}, start, end)]) if todo else []
        given: dict[str, str | list[str]] = {}
        for slot in fit.places:
            if slot == "place" and items.position(slots.symbols(slot), numbered=True) is None:
                return None
            is_text = slot in _TEXTS or (slot in ("few", "gone") and action == "add")
            if slot == "gone":
                words: str | list[str] | None = slots.gone()
            elif is_text:
                words = slots.text(slot)
            else:
                words = slots.todo(slot, several=action in ("complete", "delete"))
            if not words:
                return None if slot in ("known", "place", "gone") else []
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


def _wishes_for_it(words: Sequence[str], start: int, end: int, earlier: Earlier) -> bool:
    """Whether what was there before the prompt is to go on the list: "i need that on my list"."""
    if earlier.before is None or not earlier.is_before or not WISHES.longest(words, start, end):
        return False
    earlier.before.meant_otherwise = True
    return True


def _asks_for_it(words: Sequence[str], start: int, earlier: Earlier) -> bool:
    """Whether it is asked of what was there before: "is that on my list?"."""
    if earlier.before is None or not earlier.is_before:
        return False
    if words[start] not in ("is", "was") or words[start + 1 : start + 2] not in (
        ["it"],
        ["that"],
        ["this"],
    ):
        return False
    earlier.before.meant_otherwise = True
    return True


def _is_of_reference(call: Call, words: Sequence[str], start: int, earlier: Earlier) -> bool:
    """Whether, in a conversation, the words of a to-do or a question are for something before."""
    if earlier.conversation is None:
        return False
    if call.tool == f"{STORE}list":
        return _asks_for_it(words, start, earlier)
    said = str(call.input.get("text") or call.input.get("todo") or "").casefold().split()
    if not said or not is_reference(said, 0, len(said)):
        return False
    earlier.conversation.meant_otherwise = True
    return True


def _take_count(seen: View) -> int | None:
    """Take "3" out of "add 3 tasks: …" and return it."""
    for at in range(1, min(len(seen.symbols) - 1, _COUNT_WITHIN)):
        if seen.symbols[at + 1] in _COUNTED:
            number = read_number(seen.symbols, at, at + 1)
            if number is not None and number[0].isdigit():
                del seen.symbols[at], seen.at[at + 1]
                return int(number[0])
    return None


# The list in a clause: what is to become of all of its to-dos, or a wish to see it.


_PREPOSITIONS = frozenset({"on", "in", "from", "of", "for"})
_PERSONS = frozenset({"i", "i'd", "i'm", "we", "we'd", "do", "does"})
_WHOLE = frozenset({"the", "all", "everything", "my", "these", "this"})
_BESIDE_NAMES = SHOWING | NAMES | {TODO}
_IMPLICIT = phrase_set(IMPLICIT)
_ELLIPTIC = phrase_set(ELLIPTIC)


def read_all(words: Sequence[str], seen: View) -> str | None:
    """What is to become of every to-do, where a clause asks for that; else None.

    "All of them" may be those that were just shown, or added: that is not guessed at.
    """
    symbols = seen.symbols
    found = ALL_OF_THEM.longest(symbols, 0, len(symbols))
    if found is None or found[0] != len(symbols):
        return None
    if "them" in symbols:
        return None
    said = words[seen.at[0] : seen.at[-1]]
    if ALL.isdisjoint(said) and (LIST not in symbols or TODOS in symbols):
        return None  # "delete my todos" may mean some of them
    if LIST not in symbols and TODOS not in symbols and TODO not in symbols:
        return (
            found[1] if found[1] == "complete" and ("as" in symbols or "done" in symbols) else None
        )
    return found[1]


def read_listing(symbols: list[str], *, about_todos: bool) -> dict[str, str] | None:
    """The input of `todo_store.list` that the symbols of a clause ask for, or None.

    `about_todos`: the clause before was about the list, so "show everything" means it too.
    """
    implicit = _IMPLICIT.longest(symbols, 0, len(symbols))
    if implicit is not None and implicit[0] == len(symbols):
        return {}
    elliptic = _ELLIPTIC.longest(symbols, 0, len(symbols)) if about_todos else None
    if elliptic is not None and elliptic[0] == len(symbols):
        return {}
    if symbols.count(LIST) > 1:
        return None  # two requests
    if symbols[0] == "how" and len(symbols) > 1 and symbols[1] in HOW_TO:
        return None
    if NAMES.isdisjoint(symbols) or not _BESIDE_NAMES.issuperset(symbols):
        return None
    others = [symbol for symbol in symbols if symbol not in NAMES]
    named_only = symbols[0] in NAMES and (_PREPOSITIONS | TIMES).issuperset(others)
    if not named_only and not _asks(symbols, others):
        return None
    barred = NEVER_TOGETHER if symbols[0] in QUESTIONING else NEVER_TOGETHER + NOT_TOGETHER
    if any(one in others and other in others for one, other in barred):
        return None
    asked = what_is_asked(symbols)
    denied = not DENYING.isdisjoint(others) and asked.get("status") != "open"
    return None if denied and symbols[0] not in QUESTIONING else asked


def _asks(symbols: list[str], others: list[str]) -> bool:
    """Whether these are a question or a wish.

    A verb such as "add" among the words of a question is fine, in front it is a command.
    """
    if ASKING.isdisjoint(others):
        return False
    first = symbols[0]
    if first == "do" and symbols[1:2] and symbols[1] in _WHOLE:
        return False  # "do everything on my list"
    if first in _PREPOSITIONS and len(symbols) > 1:
        first = symbols[1]
    return first in ASKING or first in NAMES or first in _PERSONS


def names_other_time(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a part of the list is asked for by its day, which no to-do has."""
    return any(OTHER_TIMES.longest(words, at, end) is not None for at in range(start, end))
