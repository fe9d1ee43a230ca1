"""Whether words that stand for the text of a to-do are none, but a state or a place."""

from collections.abc import Sequence

from nodes.patterns.english.conversation_words import PLACES
from nodes.patterns.english.state_words import BEFORE_STATES, DONE_STATES, STATE_FRONTS, STATES
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import PhraseTable

_PRONOUNS = frozenset({"it", "them", "they", "that", "this", "these", "those", "both"})
_ORDINARY = frozenset({"one", "ones", "todo", "task", "item", "result", "value", "todos", "tasks"})


def is_reference(words: list[str], start: int, end: int) -> bool:
    """Whether they begin with a pronoun or with a place, as no text of a to-do does."""
    if words[start] in _PRONOUNS:
        return True
    found = PLACES.longest(words, start, end)
    if found is None:
        return False
    last = words[found[0] - 1]
    return found[0] == end or last in _ORDINARY or last.isdecimal()


def is_number(symbols: Sequence[str]) -> bool:
    """Whether they are nothing but a number."""
    number = read_number(symbols, 0, len(symbols))
    return number is not None and number[1] == len(symbols)


def is_done_state(words: list[str], start: int, end: int) -> bool:
    """Whether they say that it is done, and nothing more."""
    return _is_all(DONE_STATES, words, start, end)


def is_state(words: list[str], start: int, end: int) -> bool:
    """Whether they are a state, a time or an order, or begin with one as no text does."""
    begin = start
    while begin < end - 1 and words[begin] in BEFORE_STATES:
        begin += 1
    if words[begin] in STATE_FRONTS or is_done_state(words, start, end):
        return True
    return _is_all(STATES, words, begin, end)


def _is_all(table: PhraseTable[bool], words: list[str], start: int, end: int) -> bool:
    while end - start > 1 and words[end - 1] in (".", "!", "?", "instead", "please"):
        end -= 1
    found = table.longest(words, start, end)
    return found is not None and found[0] == end
