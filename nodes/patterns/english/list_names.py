"""What people call their to-do list, and how such a name is found in a clause."""

from dataclasses import dataclass

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
