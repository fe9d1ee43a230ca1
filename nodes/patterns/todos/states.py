"""Whether words for a change of a to-do are its state and not its new text."""

from nodes.patterns.english.state_words import BEFORE_STATES, DONE_STATES, STATE_FRONTS, STATES
from nodes.patterns.grammar.phrases import PhraseTable


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
