"""Explicit openings: what follows one, and whether it asks for one to-do or for several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from nodes.patterns.antecedent import Earlier
from nodes.patterns.clauses import mark_at
from nodes.patterns.english.list_names import LIST, NAMELESS, is_elsewhere, view
from nodes.patterns.english.list_words import (
    COMPOUNDS,
    LISTS,
    OPENINGS_OF_TODOS,
    PRIORITIES,
    SAYING,
    TIME_ENDS,
    TIME_FRONTS,
    WHEN,
    Opens,
)
from nodes.patterns.english.small_talk import take_off_closing
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import phrase_set
from nodes.patterns.grammar.words import Call, Use, Words, literal
from nodes.patterns.todos import items
from nodes.patterns.todos.items import Ambiguous, text_with_results

_COUNTED = phrase_set(["two|three|four|five|six|seven|eight|nine|ten|2|3|4|5|6|7|8|9|10"])
_BOTH = frozenset({"both"})
_MADE_OF_SEVERAL = (Opens.SEVERAL, Opens.HEADING, Opens.COMPLETION, Opens.DELETION)
NAMING = frozenset({"called", "named", "titled", "entitled", "labeled", "labelled"})
_STATING = frozenset({"is", "are", "was", "has", "have", "been", "done", "?"})
_ONTO = frozenset({"to", "on", "onto", "in", "into", "at", "under"})
_ASKING = frozenset({"can", "could", "would", "will"})
_LONGEST_ASKING = 6  # words
_LONGEST_TIME = 8  # words


@dataclass(frozen=True, slots=True)
class Opening:
    """Words `start` to `after` open; `signed` says that a colon or dash ends them."""

    kind: Opens
    start: int
    after: int
    signed: bool
    named: bool
    priority: tuple[int, int] | None
    count: int | None

    @property
    def is_weak(self) -> bool:
        """Whether the same words may be another request, which then goes first."""
        return self.kind in (Opens.REMINDER, Opens.BARE)

    @property
    def holds_several(self) -> bool:
        """Whether what follows may be more than one item."""
        return self.kind in _MADE_OF_SEVERAL


def find_opening(prompt: Words, start: int, end: int) -> Opening | None:
    """The opening that begins at `start`, if there is one."""
    words = prompt.words
    found = OPENINGS_OF_TODOS.longest(words, start, end)
    if found is None:
        return None
    after, kind = found
    if words[after - 1] == "-" and after < end and prompt.ends[after - 1] == prompt.starts[after]:
        after -= 1  # the minus of "-5 degrees"
    signed = words[after - 1] in (":", "-", ",")
    named = not NAMING.isdisjoint(words[start:after])
    if not signed and not named and after < end and _is_compound(words[after - 1], words[after]):
        return None
    if words[after - 1] == "," and kind in _MADE_OF_SEVERAL:
        return None  # "add some things to my list, thanks"
    opened = words[start:after]
    priority = _first(PRIORITIES, words, start, after) if kind is Opens.ONE else None
    counted = _first(_COUNTED, words, start, after) if kind in _MADE_OF_SEVERAL else None
    count = int(read_number(words, *counted)[0]) if counted else None  # type: ignore[index]
    if not _BOTH.isdisjoint(opened):
        count = 2
    if kind is Opens.BARE and not _STATING.isdisjoint(words[after:end]):
        return None
    of_number = words[after + 1 : after + 2] == ["should"] and not signed and not named
    if of_number and read_number(words, after, after + 1) is not None:
        return None  # "task 2 should be first"
    return Opening(kind, start, after, words[after - 1] == ":", named, priority, count)


def _is_compound(noun: str, following: str) -> bool:
    """Whether a list, or a program, is named and no to-do: "a to do list", "the task bar"."""
    return following in LISTS or (noun == "task" and following in COMPOUNDS)


def _first(table: object, words: list[str], start: int, end: int) -> tuple[int, int] | None:
    for at in range(start, end):
        found = table.longest(words, at, end)  # type: ignore[attr-defined]
        if found is not None:
            return at, found[0]
    return None


def text_of(prompt: Words, opening: Opening, end: int) -> tuple[int, int, int] | None:
    """Where the words of the one to-do stand that `opening` opens and that ends before `end`.

    The third place is where "to my list" ends after them, if it is said. None where they name
    nothing, or a place that is not our list.
    """
    words = prompt.words
    start = opening.after
    whole = end
    if not opening.signed:
        whole = without_courtesy(words, start, end)
        end = _without_list(words, start, whole)
        if start < end and (
            is_elsewhere(words[start:end], whole=words[start - 1] in _ONTO) or start == end
        ):
            return None
    if end - start > 1 and words[end - 1] == "?" and _is_asked(words, opening.start):
        end -= 1
    if start >= end:
        return None
    if not opening.signed and not opening.named and NAMELESS.issuperset(words[start:end]):
        return None
    if end - start == 1 and words[start].isdecimal() and not opening.signed and not opening.named:
        return None  # "add task 3"
    return start, end, whole


def _is_asked(words: list[str], start: int) -> bool:
    """Whether the request is a question, whose sign is at its end: "can you add …?"."""
    before = words[max(0, start - _LONGEST_ASKING) : start]
    return any(pair[0] in _ASKING and pair[1] == "you" for pair in pairwise(before))


def without_courtesy(words: Sequence[str], start: int, end: int) -> int:
    """Where the words end without "please" and "thanks", unless those are to be said."""
    closed = take_off_closing(list(words), start, end)
    while closed < end and words[closed] in (".", "!", "?"):
        closed += 1  # a sign at the end is for the item to keep or to lose
    if closed == start or (closed < end and words[closed - 1] in SAYING):
        return end
    return closed


def _without_list(words: list[str], start: int, end: int) -> int:
    """Where the words end without "to my list"."""
    seen = view(words, start, end)
    last = len(seen.symbols)
    if last > 2 and seen.symbols[-1] == LIST and seen.symbols[-2] in _ONTO:
        return seen.at[-3]
    return end


def after_time(words: Sequence[str], start: int, end: int) -> int:
    """Where the words for a time end that begin at `start`; `start` where there are none."""
    at = start
    end = min(end, start + _LONGEST_TIME)
    while at < end:
        found = WHEN.longest(words, at, end)
        if found is not None:
            at = found[0]
            continue
        begin = at + 1 if words[at] in TIME_FRONTS else at
        if begin < end and ":" in words[begin]:
            reached = begin + 1
        else:
            number = read_number(words, begin, end)
            if number is None:
                return at
            reached = number[1]
        unit = TIME_ENDS.longest(words, reached, end)
        if begin == at and unit is None:
            return at
        at = unit[0] if unit is not None else reached
    return at


def says_when(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a time is named between `start` and `end`."""
    return any(after_time(words, at, end) > at for at in range(start, end))


def inline_marks(prompt: Words, start: int, end: int) -> list[tuple[int, int]]:
    """The items of a list written in one line: "1. milk 2. eggs", "- milk - eggs"."""
    size = mark_at(prompt, start, end) if start < end else 0
    if not size:
        return []
    items: list[tuple[int, int]] = []
    begin = start + size
    expected = 2
    first = prompt.words[start]
    numbered = first.isdecimal() or (first == "(" and prompt.words[start + 1].isdecimal())
    at = begin
    while at < end:
        word = prompt.words[at]
        marks = word in (str(expected), "(") if numbered else word == first
        size = mark_at(prompt, at, end) if marks and at > begin else 0
        if size and (not numbered or str(expected) in prompt.words[at : at + size]):
            items.append((begin, at))
            begin = at = at + size
            expected += 1
        else:
            at += 1
    items.append((begin, end))
    return items if len(items) > 1 else []


def parts_of(prompt: Words, opening: Opening, end: int) -> list[tuple[int, int]] | None:
    """Where the items stand that are written as a list in one line; None when they are not
    as many as the opening says, or no list at all.
    """
    words = prompt.words
    start = opening.after
    if marked := inline_marks(prompt, start, end):
        parts = marked
    else:
        if take_off_closing(words, start, end) == start:
            return None
        end = without_courtesy(words, start, end)
        end = _without_list(words, start, end)
        while end > start and words[end - 1] in (".", ","):
            end -= 1
        quoted = items.quotations(words, start, end)
        parts = quoted or items.separated(words, start, end, opening.count)
    if not parts or any(NAMELESS.issuperset(words[begin:stop]) for begin, stop in parts):
        return None
    if opening.count is not None and len(parts) != opening.count:
        return None
    return parts


Make = Callable[[str, Sequence[tuple[Mapping[str, Any], int, int]]], list[Call] | None]

_SET_ACTIONS = {Opens.COMPLETION: "complete", Opens.DELETION: "delete"}
_ADDS = "asks to put something on the to-do list"
_RINGS = "asks to be reminded; it becomes a to-do, and nothing will ring"
_TIMED = f"{_ADDS}; the time stays in its words, and nothing will ring"


def read_opened(
    prompt: Words,
    opening: Opening,
    rest: list[tuple[int, int]] | int,
    earlier: Earlier,
    make: Make,
) -> list[Call] | None:
    """The calls that an explicit opening asks for, made by `make`, or None.

    `rest` is where its words end, or the places of items in lines of their own.
    """
    if isinstance(rest, int):
        if not opening.holds_several:
            return _one(prompt, opening, rest, earlier, make)
        parts = parts_of(prompt, opening, rest)
        if parts is None:
            return None
    else:
        parts = rest
        if opening.count not in (None, len(parts)):
            return None
    action = _SET_ACTIONS.get(opening.kind)
    if action is not None:
        todos = [_named(prompt, *part, earlier) for part in parts]
        return (
            make(action, [({"todo": todos}, opening.start, parts[-1][1])]) if all(todos) else None
        )
    try:
        texts = [text_with_results(prompt, *part, earlier) for part in parts]
    except Ambiguous:
        return None
    made = [({"text": text}, *part) for text, part in zip(texts, parts, strict=True)]
    return make("add", made) if all(texts) else None


def _named(prompt: Words, start: int, end: int, earlier: Earlier) -> str | None:
    symbols = prompt.words[start:end]
    place = items.position(symbols, numbered=True)
    return earlier.place(place, symbols) if place else literal(items.wording(prompt, start, end))


def _one(
    prompt: Words, opening: Opening, end: int, earlier: Earlier, make: Make
) -> list[Call] | None:
    found = text_of(prompt, opening, end)
    if found is None:
        return None
    start, end, whole = found
    quoted = items.quotations(prompt.words, start, end)
    if end - start > 1 and not quoted and prompt.words[start][0] == '"':
        return None  # '"soap" and a todo "towels"'
    if len(quoted) > 1:
        made = [({"text": literal(items.wording(prompt, *part))}, *part) for part in quoted]
        calls = make("add", made)
        uses = (Use(opening.start, whole, _ADDS),)
        return calls and [replace(call, uses=uses) for call in calls]
    try:
        worded = _text(prompt, opening, start, end, earlier)
    except Ambiguous:
        return None
    if worded is None:
        return None
    text, reason = worded
    calls = make("add", [({"text": text}, opening.start, end)])
    uses = (Use(opening.start, whole, reason),)
    return calls and [replace(call, reasoning=reason, uses=uses) for call in calls]


def _text(
    prompt: Words, opening: Opening, start: int, end: int, earlier: Earlier
) -> tuple[str, str] | None:
    """The words of the to-do and why it is added; a time before them goes behind them."""
    words = prompt.words
    behind, reason = "", _ADDS
    if opening.kind is Opens.REMINDER:
        reason = _RINGS
        begin = after_time(words, start, end)
        if begin == start and words[start - 1] == "me":
            return None  # "remind me of the milk"
        if begin > start:
            if words[begin : begin + 1] != ["to"] or begin + 1 >= end:
                return None
            behind = f" {prompt.source(start, begin)}"
            start = begin + 1
    elif says_when(words, start, end):
        reason = _TIMED
    text = text_with_results(prompt, start, end, earlier, named=opening.named)
    if text and opening.priority is not None:
        text = f"{prompt.source(*opening.priority)}: {text}"
    return (text + behind, reason) if text else None
