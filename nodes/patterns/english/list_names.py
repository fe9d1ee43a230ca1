"""What people call their to-do list, how such a name is found, and what is none of ours.

Not ours are other places to put things, and items that name nothing to be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nodes.patterns.english.todo_templates import BEGINNINGS
from nodes.patterns.grammar.phrases import PhraseTable, phrase_set, word_set

LIST = "LIST"
TODO = "TODO"
TODOS = "TODOS"
INDEFINITE = "A_LIST"

CLASSES = {
    "finish": ["do|complete|accomplish|finish|get done|be done|tackle|take care of|get to|handle"],
    "have to": [
        "i (need|have|want|must|ought|plan|got|intend) [to]",
        "(i've|i have) got to",
        "i (should|must|will)",
        "i'm (going|supposed|planning) to",
        "(we|you) (need|have|want) to",
        "need to|needs to|to|that need to|that needs to",
    ],
    "when": [
        "today|tonight|tomorrow|this week|this weekend|this month|this morning|this afternoon|"
        "this evening|right now|currently|at the moment|now|again|anymore|any more|already|"
        "next week|next month|later",
        "for (today|tonight|tomorrow|now|later|me|us|the day|the week|the weekend|the month|"
        "this week|this weekend|this month|next week|this morning|this afternoon|this evening|"
        "the moment|my day|my week)",
        "for (monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    ],
    "kind": [
        "to do|todo|task|tasks|chore|chores|to dos|todos|things to do|stuff to do|tasks to do|"
        "honey do|errand|errands|todo's|to do's|task's|too do|to dos|things todo|my to|our to",
    ],
}

#: Words directly before "list" that make it a list of to-dos.
KINDS = phrase_set(["<kind>"], CLASSES)
_LONGEST_KIND = 3

#: What follows "list": what it is of, and for when.
CONTENTS = phrase_set(
    [
        "of [my|the|all|all my|all the|other] (things|stuff|items|tasks|chores|jobs|errands|todos|"
        "to dos|to do items|activities|duties|what|to do) [that|which] [<have to>] [<finish>]",
        "of (things|stuff|items|tasks|chores|jobs) (i|we) (need|have|want|got) done",
        "of [my] (housework|chores|work|to do|todo|household chores|daily tasks|daily chores)",
    ],
    CLASSES,
)
TIMES = phrase_set(["<when>"], CLASSES)

DETERMINERS = word_set("my the our this that your mine me these those")
#: Words before "list" that say nothing of which one: others name a list that is not ours.
ADJECTIVES = word_set(
    "whole entire complete full current own existing main usual regular long short little big "
    "updated same default normal today stinking damn dang darn dumb silly bloody freaking "
    "stupid huge endless blasted infernal"
)
_BEFORE_BARE = word_set(
    "to on onto in into from off of at with and , : ; show read list check view display open see "
    "up out details get give tell review pull bring through over print recite repeat me update "
    "edit add put insert what's whats s"
)
_AFTER_BARE = word_set("add remove delete : , has have needs contains contents for today please")
_INDEFINITE = frozenset({"a", "an", "another", "any", "some", "each", "every"})
_NOT_A_NAME = word_set(
    "song songs movie film app apps video best most if when about "
    "to on onto in into from off of at with and as is are was be do does did have has add put "
    "remove delete take for i you it , . : ; ( ) + - * /"
)
_MOST_NAMES = 3
_COMPOUNDS = word_set("force manager bar master rabbit group")  # "the task bar" is no to-do

SINGULAR = phrase_set(
    [
        "[(a|an|the|my|another|one more|this|that|one) [new|quick|single|extra|additional|open]] "
        "(todo|task|chore|to do item|todo item|task item|list item|to do list item|"
        "todo list item|action item|to do entry|todo entry|todo task|to do task)",
        "(a|the|my|another|one more|new|a new|another new) to do",
    ]
)
#: Names that mean a to-do only where a list is named too: "the item" may be anything.
SINGULAR_ON_LIST = phrase_set(
    ["(an|the|my|another|new|a new|one more|this|that|another new) (item|entry)", "item"]
)
PLURAL = phrase_set(
    [
        "[all] [of] [the|my|our|these|those|some|following|the following|more|any|any more]"
        " [new|current|other] (todos|tasks|chores|to dos|to do's|todo's|to do items|todo items|"
        "task items|list items|action items|to do tasks|to do list items|todo list items|"
        "task list items)",
        "(the|these|those|my|all|all my|all the|following|the following) (items|entries)",
        "(my|the|all my) agenda",
    ]
)
_ONE_WORD_NAMES = word_set("todolist tasklist todolists dolist")
_HEADS = word_set("list lists checklist") | _ONE_WORD_NAMES
_NOUNS = _ONE_WORD_NAMES | word_set(
    "list lists checklist todo todos task tasks chore chores item items entry entries to agenda"
)


@dataclass(slots=True)
class View:
    """A clause with the names of lists and to-dos as one symbol each.

    `symbols[k]` covers the words from `at[k]` up to `at[k + 1]`.
    """

    symbols: list[str]
    at: list[int]


def view(words: list[str], start: int, end: int) -> View:
    """The clause from `start` to `end` as symbols."""
    if _NOUNS.isdisjoint(words[start:end]):
        return View(words[start:end], list(range(start, end + 1)))
    lists = _lists(words, start, end)
    singulars = (SINGULAR, SINGULAR_ON_LIST) if lists else (SINGULAR,)
    symbols: list[str] = []
    at: list[int] = []
    here = start
    while here < end:
        at.append(here)
        if here in lists:
            here, symbol = lists[here]
            symbols.append(symbol)
        elif (many := PLURAL.longest(words, here, end)) is not None:
            symbols.append(TODOS)
            here = many[0]
        elif (one := _longest_of(singulars, words, here, end)) is not None and (
            one == end or words[one] not in _COMPOUNDS
        ):
            symbols.append(TODO)
            here = one
        else:
            symbols.append(words[here])
            here += 1
    at.append(end)
    return View(symbols, at)


def is_name_of_list(words: list[str], start: int, end: int) -> bool:
    """Whether a clause is nothing but the name of the list."""
    return view(words, start, end).symbols == [LIST]


def names_list(words: list[str], start: int, end: int) -> bool:
    """Whether a list, or to-dos in general, are named in the clause."""
    return not {LIST, TODOS}.isdisjoint(view(words, start, end).symbols)


def _longest_of(
    tables: tuple[PhraseTable[bool], ...], words: list[str], start: int, end: int
) -> int | None:
    found = [match[0] for names in tables if (match := names.longest(words, start, end))]
    return max(found) if found else None


def _lists(words: list[str], start: int, end: int) -> dict[int, tuple[int, str]]:
    """The names of lists, by the word at which they begin."""
    found: dict[int, tuple[int, str]] = {}
    free = start
    for head in range(start, end):
        if words[head] in _HEADS:
            name = _list_around(words, free, head, end)
            if name is not None:
                begin, free, symbol = name
                found[begin] = (free, symbol)
    return found


def _list_around(words: list[str], start: int, head: int, end: int) -> tuple[int, int, str] | None:
    begin = head
    todo = words[head] in _ONE_WORD_NAMES
    while (kind := _kind_before(words, start, begin)) is not None:
        begin, todo = kind, True
    stop = head + 1
    contents = CONTENTS.longest(words, stop, end)
    if contents is not None:
        stop, todo = contents[0], True
    elif stop < end and words[stop] in ("of", "item", "items", "entry", "entries"):
        return None
    while begin > start and words[begin - 1] in ADJECTIVES:
        begin -= 1
    if todo:
        begin = _after_names(words, start, begin)
    if begin == head == start and not todo and stop < end and words[stop] not in _AFTER_BARE:
        return None  # "list my tasks": the verb
    before = words[begin - 1] if begin > start else ""
    if before in DETERMINERS:
        begin -= 1
    elif before in _INDEFINITE:
        return begin - 1, TIMES.skip(words, stop, end), INDEFINITE
    elif before and not todo and before not in _BEFORE_BARE:
        return None  # "shopping list" is another list than the one we keep
    return begin, TIMES.skip(words, stop, end), LIST


def _kind_before(words: list[str], start: int, stop: int) -> int | None:
    for length in range(_LONGEST_KIND, 0, -1):
        if stop - length >= start:
            found = KINDS.longest(words, stop - length, stop)
            if found is not None and found[0] == stop:
                return stop - length
    return None


def _after_names(words: list[str], start: int, begin: int) -> int:
    """Take in free words between a determiner and the name: "my spring cleaning to do list"."""
    for at in range(begin - 1, max(start, begin - _MOST_NAMES - 1) - 1, -1):
        if words[at] in DETERMINERS:
            return at + 1
        if words[at] in _NOT_A_NAME:
            break
    return begin


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
