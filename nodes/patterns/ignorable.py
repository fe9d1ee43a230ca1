"""Clauses that ask for nothing of their own: courtesies, echoes and reasons.

"What's 5 plus 3, i forget", "check my list and tell me if tea is on it", "i have to call Bob, so
add call Bob to my list": one request each.
"""

from collections.abc import Sequence

from nodes.patterns.english.arithmetic_words import ECHOES
from nodes.patterns.english.list_words import CHANGING
from nodes.patterns.english.politeness import take_off_closing, take_off_opening
from nodes.patterns.english.small_talk import says_what_became_of
from nodes.patterns.grammar.calls import CALCULATOR, STORE, Call
from nodes.patterns.grammar.phrases import phrase_set, word_set

_LIST = STORE + "list"

#: How people say why something goes on the list, or off it.
STATEMENTS = phrase_set(
    [
        "[so|well|and|because|since|but] (i|we) [just|also|really|still|already|now] (need|have|"
        "must|want|should|ought|got|gotta|plan|forgot|meant|finished|did|completed|finally) [to]",
        "(i've|we've) [just|already|finally] (got to|finished|done|completed)",
        "(i'm|i am|we're|we are) (going to|supposed to|planning to|done with|finished with|not|no "
        "longer|through with)",
        "(i|we) (don't|do not|no longer|didn't|won't|can't|am not|decided not to|already)",
        "(i'll|i gotta|i better|i'd better|we gotta)|(don't|do not) [let me] forget [to]",
    ]
)
#: Asking about a duty, before the list is asked for: "do i have to call Bob? check my list".
_DUTIES = phrase_set(["(am|was|do|did|should|must|were) (i|we)"])
_UNIMPORTANT = word_set("a an the my our some to of")


def is_courtesy(words: list[str], start: int, end: int) -> bool:
    """Whether nothing is asked: "hello", "thanks a lot"."""
    end = take_off_closing(words, start, end)
    return take_off_opening(words, start, end) == end


def is_echo(words: list[str], start: int, end: int, neighbour: str | None) -> bool:
    """Whether the words only ask again for what the tool beside them gives: "what does it make"."""
    if neighbour not in (CALCULATOR, _LIST):
        return False
    end = take_off_closing(words, start, end)
    return ECHOES.skip(words, take_off_opening(words, start, end), end) == end


def repeats_list(calls: Sequence[Call], last: str | None, names_list: bool) -> bool:
    """Whether "and read it to me" follows a request for the list."""
    return last == _LIST and not names_list and all(call.tool == _LIST for call in calls)


def is_reason(words: list[str], start: int, end: int, following: Sequence[Call] | None) -> bool:
    """Whether the words only say why the one request after them is made."""
    if following is None or len(following) != 1:
        return False
    [call] = following
    if call.tool == _LIST:
        asked = CHANGING.isdisjoint(words[start:end])
        return asked and _DUTIES.longest(words, start, end) is not None
    named = call.input.get("todo") or call.input.get("text")
    if not isinstance(named, str):
        return False
    wanted = set(named.casefold().split()) - _UNIMPORTANT
    if says_what_became_of(wanted, words, start, end):
        return True
    if STATEMENTS.longest(words, start, end) is None:
        return False
    return bool(wanted) and wanted.issubset(words[start:end])
