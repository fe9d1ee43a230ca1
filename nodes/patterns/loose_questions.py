"""Loosely read questions about the list, and wishes to see it."""

from itertools import pairwise

from nodes.patterns.list_names import LIST, TODO, TODOS
from nodes.patterns.list_words import ASKING, HOW_TO, NEVER_TOGETHER, NOT_TOGETHER, SHOWING
from nodes.patterns.loose_names import Named
from nodes.patterns.loose_words import (
    ASKING_ENDS,
    ASKING_MORE,
    ASSERTING,
    ONTO,
    QUESTIONS,
    SHOWING_MORE,
)
from nodes.patterns.phrases import word_set
from nodes.patterns.small_talk import ADVERBS, FRIENDS, INTERJECTIONS, is_closing

_ALL_SHOWING = SHOWING.union(SHOWING_MORE, {LIST, TODOS, TODO}, INTERJECTIONS, FRIENDS, ADVERBS)
_ALL_ASKING = ASKING | ASKING_MORE
_YOU_SEE = word_set("see have got find know show say")
_PUTTING = word_set("add put set save note mark write keep schedule enter made")
_BEING = word_set("is are isn't aren't was wasn't ain't were weren't")
_QUESTIONING = word_set("what what's whats which got anything please show read")
_WHOLE = word_set("the all everything my these this")
_BARRED = NEVER_TOGETHER + NOT_TOGETHER


def asks_about(symbols: list[str], named: Named, at: int) -> bool:
    """Whether it is asked if something is on the list."""
    total = len(symbols)
    question = QUESTIONS.longest(symbols, at, total)
    if question is not None and named.place == ONTO and question[0] <= named.start:
        after = symbols[named.end :]
        return question[0] == named.start or is_closing(after, 0, len(after)) or _ends(after)
    if named.place == ONTO and ASSERTING.longest(symbols, at, named.start) is not None:
        return named.asked or _ends(symbols[named.end :])
    return (
        named.place == ONTO
        and symbols[at] == "tell"
        and symbols[named.start - 1] in _BEING
        and is_closing(symbols, named.end, total)
    )


def _ends(after: list[str]) -> bool:
    found = ASKING_ENDS.longest(after, 0, len(after))
    return found is not None and is_closing(after, found[0], len(after))


def asks_for_list(symbols: list[str], at: int) -> bool:
    """Whether nothing but words of asking and showing stand around the list."""
    words = symbols[at:]
    if words[0] in _PUTTING:
        return False
    if words[0] in (LIST, TODOS) and _QUESTIONING.isdisjoint(words):
        return False  # "my list is too long"
    if words[0] == "do" and words[1:2] and words[1] in _WHOLE:
        return False  # "do everything on my list"
    if words[0] == "how" and (len(words) == 1 or words[1] in HOW_TO):
        return False
    end = len(words)
    listed = next(place for place, word in enumerate(words) if word in (LIST, TODOS))
    if is_closing(words, listed + 1, end):
        end = listed + 1
    asked = words[:end]
    if not _ALL_SHOWING.issuperset(asked) or not _ALL_ASKING.intersection(asked):
        return False
    if any(word == "you" and other not in _YOU_SEE for word, other in pairwise(asked)):
        return False  # "what tasks can you do"
    return not any(one in asked and other in asked for one, other in _BARRED)
