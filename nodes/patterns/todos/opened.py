"""What an explicit opening asks for: one to-do in its own words, or several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nodes.patterns.english.todo_openings import Opens
from nodes.patterns.grammar.calls import Call, Earlier, Use, literal
from nodes.patterns.grammar.words import Words
from nodes.patterns.todos import items
from nodes.patterns.todos.openings import Opening, after_time, parts_of, says_when, text_of
from nodes.patterns.todos.references import Ambiguous, text_with_results

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
