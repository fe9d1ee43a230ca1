"""Words that look like a to-do and are none we can keep."""

from collections.abc import Sequence

from nodes.patterns.english.connectors import BEGINNINGS
from nodes.patterns.english.list_names import LIST
from nodes.patterns.grammar.phrases import phrase_set, word_set

#: Places that are not ours: "a task to my calendar" is none for us.
ELSEWHERE = phrase_set(
    [
        "[to|on|in|onto|into|from|at|off] [my|the|our|his|her|their|this|a] [google|work|amazon] "
        "(calendar|calender|playlist|contacts|contact|cart|phone|alarm|alarms|schedule|inbox|email|"
        "shopping list|grocery list|wish list|watch list|facebook|twitter|instagram|spotify|"
        "outlook|"
        "account|address book|notes|reminders)",
    ]
)

#: The same without "to": "my work list", "the calendar".
OTHER_PLACES = phrase_set(
    [
        "(my|the|our|his|her|their|a|this) [google|work|amazon] (calendar|calender|playlist|"
        "contacts|cart|inbox|wish list|watch list|outlook|address book|notes|reminders)",
        "(my|the|our|his|her|their|a|another) (work|shopping|grocery|reading|wish|guest|packing|"
        "movie|book|bucket|birthday|christmas|gift|family|home|school|office|party|travel) list",
    ]
)

#: Items that name nothing.
VAGUE = word_set(
    """
    LIST A_LIST TODO TODOS on onto in into from off of as for my your
    something anything thing things this that it them these those an a the new one item items todo
    task stuff another some more me us you everything all list lists entry following and to by
    """
)

#: The same after an explicit opening, where nearly every word is an item.
NAMELESS = word_set(
    "something anything things stuff this that it them these those me us on to for my the list , ."
)

#: Words with which no new item begins: "mark my list as finished".
NO_ITEM_BEGINS = word_set("as in into from off of")

#: What other programs handle; without a list named beside them they are none of our to-dos.
FOREIGN = word_set(
    "box boxes checkbox setting settings notification notifications permission permissions option",
    "button account accounts subscription order orders purchase email emails message messages",
    "reservation booking flight alarm alarms timer timers song songs playlist call device app apps",
    "songs movie movies film films show shows book books friend friends people person name contact",
    "contacts number restaurant restaurants place places guests game games stock stocks",
    "says form page file download update payment transaction transfer meeting event read unread",
)

#: Words that no item ends with.
UNFINISHED = word_set("and , if not of to the a an my our your for from into onto with at")

_BEGINNINGS = phrase_set(BEGINNINGS)
_LONGEST_PLACE = 5
_SIGNS = frozenset(",;.:!?-()[]/\\\"'&+*#@$%=<>_~|^`")
_POINTING = word_set("this these those")
_FEW = 3
_QUALIFYING = word_set(
    "a an the my your his her our this that these those up on off in at to for from of with by and"
)
PLACING = word_set("to on in onto into from at off")
_LISTS = word_set("list lists")

#: What is taken, made or scheduled, and no to-do: "take a picture of my list".
_NO_TODOS = phrase_set(
    [
        "(a|the|another|my|some) (picture|photo|screenshot|snapshot|copy|poem|story|song|joke|"
        "summary|look|break|peek) [about|of]|time|some time|app|the app|a poem about"
    ]
)


def is_vague(symbols: list[str]) -> bool:
    """Whether these words name nothing in particular."""
    return all(symbol in VAGUE or symbol in _SIGNS for symbol in symbols)


def is_beside_the_list(symbols: list[str]) -> bool:
    """Whether words with our list named beside them are none of its items.

    "a picture" of the list, "milk from my grocery list", "milk to the calendar and bread".
    """
    total = len(symbols)
    found = _NO_TODOS.longest(symbols, 0, total)
    if found is not None and found[0] == total:
        return True
    if symbols[-1] in _LISTS and "from" in symbols:
        return True
    if "and" not in symbols:
        return False
    for at in range(total):
        if symbols[at] in PLACING:
            place = ELSEWHERE.longest(symbols, at, total)
            if place is not None and symbols[place[0] : place[0] + 1] == ["and"]:
                return True
    return False


def belongs_elsewhere(symbols: list[str]) -> bool:
    """Whether the words end with a place that is not our list, or name a time to ring at."""
    total = len(symbols)
    for at in range(1, total):
        if symbols[at] == LIST and symbols[at - 1] in PLACING:
            return True  # a sentence about our list that no template knows
    if total > 1 and symbols[0] in _POINTING:
        return True
    if symbols[-1] in _LISTS and not PLACING.isdisjoint(symbols):
        return True
    for begin in range(max(0, total - _LONGEST_PLACE), total):
        found = ELSEWHERE.longest(symbols, begin, total)
        if found is not None and found[0] == total and (begin == 0 or symbols[begin] in PLACING):
            return True
    return False


def is_elsewhere(words: Sequence[str], *, whole: bool = False) -> bool:
    """Whether words end with a place that is not our list: "milk to my work list".

    `whole`: the word before them was "to", so the place may be all there is, or stand in front.
    """
    total = len(words)
    for begin in range(max(0, total - _LONGEST_PLACE), total):
        if words[begin] in PLACING and begin + 1 < total:
            found = OTHER_PLACES.longest(words, begin + 1, total)
            if found is not None and found[0] == total:
                return True
    return whole and OTHER_PLACES.longest(words, 0, total) is not None


def is_foreign(symbols: list[str]) -> bool:
    """Whether words without a list beside them mean something of another program."""
    for at in range(1, len(symbols) - 1):
        if symbols[at] in FOREIGN and symbols[at + 1] != "}":
            return True  # "check off my settings real quick"
    return symbols[-1] in FOREIGN or ("that" in symbols and "says" in symbols)


def is_sentence(symbols: list[str]) -> bool:
    """Whether words that stand in front of a sentence are one themselves, and no item."""
    return (
        "," in symbols
        or "and" in symbols
        or _BEGINNINGS.longest(symbols, 0, len(symbols)) is not None
    )


def is_plain(symbols: list[str]) -> bool:
    """Whether words stand for an item even where no list is named beside them."""
    return len(symbols) <= _FEW and _QUALIFYING.isdisjoint(symbols)
