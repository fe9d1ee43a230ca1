"""The fuzzy reading of a clause that names the to-do list and that no sentence of ours fits.

Talk, a verb, the item and the list, in any order that leaves the item in one piece: what the verb
does follows from its class and from the word before the list. Every word has to be one of these,
else the clause is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from nodes.patterns.antecedent import is_whole
from nodes.patterns.english.list_names import (
    ELSEWHERE,
    LIST,
    NO_ITEM_BEGINS,
    PLACING,
    TODO,
    TODOS,
    UNFINISHED,
    View,
    is_beside_the_list,
    is_vague,
    view,
)
from nodes.patterns.english.list_words import (
    ANYTHING,
    ASKED_FRONTS,
    ASKING,
    CHANGING,
    COUNTING,
    DENYING,
    HOW_TO,
    NEGATIONS,
    NEVER_TOGETHER,
    NOT_TOGETHER,
    SHOWING,
    STATUS,
)
from nodes.patterns.english.small_talk import ADVERBS, FRIENDS, INTERJECTIONS, is_closing, skip_lead
from nodes.patterns.english.todo_templates import BEGINNINGS
from nodes.patterns.english.todo_words import (
    ADDING,
    ASKING_ENDS,
    ASKING_MORE,
    ASSERTING,
    ENDS,
    FINISHING,
    FRONTS,
    LONGEST_PLACE,
    OFF,
    ONTO,
    PLACES,
    QUESTIONS,
    SHOWING_MORE,
    SURELY_TAKING,
    TAKING,
    TICKING,
)
from nodes.patterns.grammar.phrases import phrase_set, word_set
from nodes.patterns.grammar.words import Call, Use, Words, literal
from nodes.patterns.todos import items

Exact = Callable[[int, int], list[Call] | None]
Make = Callable[[str, dict[str, str]], list[Call] | None]

_VERBS = ADDING | TAKING | TICKING | FINISHING
_BEGINNINGS = phrase_set(BEGINNINGS)
_NO_BEGINNINGS = word_set("to on from off in of if all everything each")
_DIVIDING = frozenset({",", "and", "then", ".", ";", "but", "or"})
_SUBJECTS = word_set(
    "list todo todos todolist tasklist checklist to task tasks chores agenda dolist lists plus add "
    "minus times divided multiplied sum product"
)
_LONGEST = 100  # words; nobody rambles on longer than that
_MOST_TALK = 12  # phrases of talk looked through before the request


def is_worth_a_fuzzy_reading(words: Sequence[str]) -> bool:
    """Whether a prompt names what the fuzzy readings can read at all."""
    return len(words) <= _LONGEST and not _SUBJECTS.isdisjoint(words)


def read_fuzzily(
    prompt: Words, start: int, end: int, exact: Exact, make: Make
) -> list[Call] | None:
    """The calls that the words from `start` to `end` ask for, or None.

    `exact` reads a part of them as a sentence, `make` makes the calls of an action.
    """
    seen = view(prompt.words, start, end)
    symbols = seen.symbols
    read_todo_as_list(symbols, [prompt.words[at] for at in seen.at[:-1]])
    if symbols.count(LIST) != 1 and (LIST in symbols or symbols.count(TODOS) != 1):
        return None
    asked = prompt.words[end : end + 1] == ["?"]
    named = find_list(symbols, asked)
    at = 0
    for _ in range(_MOST_TALK):
        if at >= len(symbols):
            return None
        calls = _read_at(prompt, seen, named, at, exact, make)
        if calls is not None:
            begin = seen.at[at]
            return [replace(each, uses=(Use(begin, end, each.reasoning),)) for each in calls]
        after = skip_lead(symbols, at, len(symbols))
        if after == at:
            return None
        at = after
    return None


# Where a clause of the fuzzy reading names the list, and what that says about it.


@dataclass(frozen=True, slots=True)
class Named:
    """Where the list stands: `place` is what is before it, from `start`; `end` is after it."""

    place: str | None
    start: int
    end: int
    asked: bool  # whether a question mark follows


def _read_at(
    prompt: Words, seen: View, named: Named, at: int, exact: Exact, make: Make
) -> list[Call] | None:
    """The request that begins right at `at`."""
    symbols = seen.symbols
    if (place := asks_about(symbols, named, at)) is not None:
        return _whether(prompt, seen, place, make)
    if asks_for_list(symbols, at):
        return make("list", what_is_asked(symbols))
    if named.start >= at and is_closing(symbols, named.end, len(symbols)):
        calls = exact(seen.at[at], seen.at[named.end])
        if calls:
            return calls
    if symbols[at] in _VERBS and at < named.start:
        return _change(prompt, seen, named, at, make)
    if at == named.start:
        verb = named.end
        while verb < len(symbols) and symbols[verb] not in _VERBS:
            after = skip_lead(symbols, verb, len(symbols))
            if after == verb:
                return None
            verb = after
        if verb < len(symbols):
            return _changed(prompt, seen, named, verb, (verb + 1, len(symbols)), make)
    return None


def _change(prompt: Words, seen: View, named: Named, verb: int, make: Make) -> list[Call] | None:
    """An item between the verb and the list, or after both."""
    total = len(seen.symbols)
    if named.place is None and LIST not in seen.symbols:
        return None  # "delete the last todos" names no list
    before = _trimmed(seen.symbols, verb + 1, named.start)
    if before[0] < before[1]:
        if not is_closing(seen.symbols, named.end, total):
            return None
        return _changed(prompt, seen, named, verb, before, make)
    if named.place is None:
        return None  # "put my list in order"
    return _changed(prompt, seen, named, verb, (named.end, total), make)


def _changed(
    prompt: Words, seen: View, named: Named, verb: int, place: tuple[int, int], make: Make
) -> list[Call] | None:
    action = _action(seen.symbols, verb, named.place)
    first, last = _trimmed(seen.symbols, *place)
    if first < last and seen.symbols[first] == "to" and place[0] >= named.end:
        first += 1
    if action is None or first >= last or not _is_item(prompt, seen, first, last):
        return None
    if items.is_quantity(seen.symbols[first:last]) or seen.symbols[first] in NO_ITEM_BEGINS:
        return None
    if action != "add" and (
        items.places(seen.symbols[first:last])
        or items.goes_on_after_place(seen.symbols[first:last], numbered=False)
    ):
        return None
    if action != "add" and (where := items.position(seen.symbols[first:last], numbered=False)):
        return make(action, {"todo": where})
    text = literal(items.wording(prompt, seen.at[first], seen.at[last]))
    return make(action, {"text" if action == "add" else "todo": text})


def _action(symbols: Sequence[str], verb: int, place: str | None) -> str | None:
    word = symbols[verb]
    if place == OFF:
        if word in TICKING:
            return "complete"
        return "delete" if word in TAKING else None
    if word in SURELY_TAKING:
        return "delete"
    if word in FINISHING:
        return "complete"
    if "off" in symbols[verb : verb + 2]:
        return "complete" if word in TICKING else None
    return "add" if word in ADDING else None


def _is_item(prompt: Words, seen: View, first: int, last: int) -> bool:
    """Whether the words can be one to-do: they name something, and nothing else is asked."""
    symbols = seen.symbols[first:last]
    if is_vague(symbols) or is_beside_the_list(symbols):
        return False
    if symbols[-1] in UNFINISHED or symbols[0] in _DIVIDING:
        return False
    if not {LIST, TODOS}.isdisjoint(symbols) or is_whole(
        prompt.words, seen.at[first], seen.at[last]
    ):
        return False
    if symbols[0] in _NO_BEGINNINGS:
        return False
    for at in range(len(symbols)):
        if symbols[at] in PLACING and ELSEWHERE.longest(symbols, at, len(symbols)):
            return False
        if symbols[at] in _DIVIDING and _BEGINNINGS.longest(symbols, at + 1, len(symbols)):
            return False
    return True


def _trimmed(symbols: list[str], first: int, last: int) -> tuple[int, int]:
    first = FRONTS.skip(symbols, first, last)
    while last > first and symbols[last - 1] in ENDS:
        last -= 1
    return first, last


_ON = word_set("on in onto into to from off of")
_OURS = word_set("my the our this mi me")


def read_todo_as_list(symbols: list[str], begins: list[str]) -> None:
    """Read "my todo" as the list, where something is on it or goes there."""
    if LIST in symbols or TODOS in symbols or symbols.count(TODO) != 1:
        return
    at = symbols.index(TODO)
    if at and symbols[at - 1] in _ON and begins[at] in _OURS:
        symbols[at] = LIST


def find_list(symbols: list[str], asked: bool) -> Named:
    at = symbols.index(LIST if LIST in symbols else TODOS)
    for length in range(min(LONGEST_PLACE, at), 0, -1):
        found = PLACES.longest(symbols, at - length, at)
        if found is not None and found[0] == at:
            return Named(found[1], at - length, at + 1, asked)
    return Named(None, at, at + 1, asked)


# Fuzzily read questions about the list, and wishes to see it.


_ORDER = word_set("first next later afterwards once even only")  # they ask for some of the to-dos

_ALL_SHOWING = SHOWING.union(SHOWING_MORE, {LIST, TODOS, TODO}, FRIENDS, ADVERBS) - _ORDER
_ALL_ASKING = ASKING | ASKING_MORE
_YOU_SEE = word_set("see have got find know show say")
_PUTTING = word_set("add put set save note mark write keep schedule enter made")
_LISTENERS = frozenset({"me", "us"})
_BEING = word_set("is are isn't aren't was wasn't ain't were weren't")
_QUESTIONING = word_set("what what's whats which got anything please show read")
_SPEAKING = word_set("say sing shout tell")
_WHOLE = word_set("the all everything my these this")
_BARRED = NEVER_TOGETHER + NOT_TOGETHER


def asks_about(symbols: list[str], named: Named, at: int) -> tuple[int, int] | None:
    """Where the words stand of which is asked if they are on the list."""
    if named.place != ONTO:
        return None
    total = len(symbols)
    question = QUESTIONS.longest(symbols, at, total)
    if question is not None and question[0] <= named.start:
        after = symbols[named.end :]
        if question[0] == named.start:
            return named.end, total
        if is_closing(after, 0, len(after)) or _ends(after):
            return question[0], named.start
        return None
    asserted = ASSERTING.longest(symbols, at, named.start)
    if asserted is not None:
        asked = named.asked or _ends(symbols[named.end :])
        return (asserted[0], named.start) if asked else None
    if symbols[at] != "tell" or symbols[named.start - 1] not in _BEING:
        return None
    begin = at + 2 if symbols[at + 1] in _LISTENERS else at + 1
    return (begin, named.start - 1) if is_closing(symbols, named.end, total) else None


def _whether(prompt: Words, seen: View, place: tuple[int, int], make: Make) -> list[Call] | None:
    """The question whether something is on the list; the list itself where that is not clear."""
    first, last = place
    first = ASKED_FRONTS.skip(seen.symbols, first, last)
    while last > first and (seen.symbols[last - 1] in ENDS or seen.symbols[last - 1] in ADVERBS):
        last -= 1
    asked = seen.symbols[first:last]
    if not asked or ANYTHING.issuperset(asked):
        return make("list", {})
    if asked[0] in CHANGING or not DENYING.isdisjoint(asked):
        return None
    text = literal(items.wording(prompt, seen.at[first], seen.at[last]))
    return make("list", {"show": "exists", "text": text})


#: How the list is named, as symbols.
NAMES = frozenset({LIST, TODOS})


def what_is_asked(symbols: list[str]) -> dict[str, str]:
    """The part of the list that the words ask for, and whether only for its number."""
    return _status([symbol for symbol in symbols if symbol not in NAMES]) | _count(symbols)


def _count(symbols: list[str]) -> dict[str, str]:
    """Whether only the number of to-dos is asked for."""
    total = len(symbols)
    asked = any(COUNTING.longest(symbols, at, total) for at in range(total))
    return {"show": "count"} if asked else {}


def _status(others: list[str]) -> dict[str, str]:
    """The part of the list that is asked for: what is done, what is not, or nothing said."""
    if "be" in others and "done" in others:
        return {"status": "open"}  # "what needs to be done"
    named = [status for status, words in STATUS.items() if not words.isdisjoint(others)]
    if len(named) != 1:
        return {}
    undone = named == ["completed"] and not NEGATIONS.isdisjoint(others)
    return {"status": "open" if undone else named[0]}


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
    while end > 1 and words[end - 1] in INTERJECTIONS and words[end - 2] not in _SPEAKING:
        end -= 1
    asked = words[:end]
    if not DENYING.isdisjoint(asked) and what_is_asked(asked).get("status") != "open":
        return False
    if not _ALL_SHOWING.issuperset(asked) or not _ALL_ASKING.intersection(asked):
        return False
    if any(word == "you" and other not in _YOU_SEE for word, other in pairwise(asked)):
        return False  # "what tasks can you do"
    return not any(one in asked and other in asked for one, other in _BARRED)
