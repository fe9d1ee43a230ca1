"""Divides a prompt into lines, and these into clauses, each of which should be one request.

A line ends every request, and the mark before it belongs to no item: "- bread", "2. show my list",
"[ ] call Ann". Between two clauses of a line stands a connector, or the next one begins as requests
do. The tables of connectors are here, that of beginnings is in `english.todo_templates`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from nodes.patterns.english.arithmetic_words import (
    FUNCTIONS,
    OPERATORS,
    PERCENT,
    POSTFIXES,
    PREFIXES,
)
from nodes.patterns.english.list_words import STATUSES
from nodes.patterns.english.small_talk import (
    OPENINGS,
)
from nodes.patterns.english.todo_words import BREEZY, CLASSES
from nodes.patterns.grammar.numbers import is_digits, may_begin_number, read_number
from nodes.patterns.grammar.phrases import PhraseTable, first_words, phrase_set, table, word_set
from nodes.patterns.grammar.words import TITLES, Words, is_shortened


class Bond(IntEnum):
    """How firmly a connector divides."""

    NUMBER = 0  # "and" before a calculation, or inside one
    FUZZY = 1  # "and", before words that begin a request only now and then
    CLEAR = 2  # "and", before words that begin a request; "then"
    HARD = 3  # the end of a sentence or line


#: Connectors that always divide.
DIVIDING_LINES = {
    ";|?|!|•": Bond.HARD,
    "[,] [and|but] (then|after that|afterwards|after this|thereafter|after which|(once|when|"
    "after) (that|that's|that is|this is|you're|you are|you've|you have) (done|finished|done "
    "that|done with that|completed|complete|did that)|once done|when done|subsequently|(while|"
    "since|as long as) (you're|you are|ur|we're|i'm) at it|while you're there) [,] [also|"
    "please]": Bond.CLEAR,
    "[,] (oh|oh yeah|oh yes|ah) (and|also|plus|yeah and) [also|then] [,]": Bond.CLEAR,
    "[,] (and|also|then) (also|next|finally|lastly|secondly|thirdly) [,]": Bond.CLEAR,
    "[,] [and] [also] (one (more|last|other|final) thing|another thing) (,|:|-)": Bond.CLEAR,
    ", (next|finally|lastly|also|additionally) [,]": Bond.CLEAR,
    "[,] [and] (in addition|additionally|as well as|besides that|on top of that) [,]": (Bond.CLEAR),
}
DIVIDING = table(DIVIDING_LINES)

#: Connectors that divide only before the beginning of a request.
JOINING_LINES = [
    "[,] and|,|&|plus|but|+|also|-|:|[,] [and] so|, then|[,] [and] (after|afterwards|next)",
]
#: An "or" divides as well, and leaves open what is asked for.
JOINING = phrase_set([*JOINING_LINES, "or"])


#: Being addressed begins a request too, whatever is asked.
ADDRESSING = phrase_set(
    ["please|(can|could|would|will) you|i need you to|i want you to|(can|could|may) (i|we)"]
)

#: Words that begin a request, and just as often belong to an item before them.
PERHAPS_BEGINNINGS = word_set(
    "my the list on to in from i half sum product todo todos task tasks see view print find bring",
    "go look search scan repeat review recite retrieve access describe summarize enumerate iterate",
    "oh nah honey mate boss",
    "name run walk fill call hear say let's help work any anything there if when math label flag",
).union(
    BREEZY,
    *(
        first_words(line, CLASSES)
        for name in ("add", "create", "remove", "check", "finish", "change", "show")
        for line in CLASSES[name]
    ),
)


# Lines, and the marks before them.


_BULLETS = frozenset({"-", "*", "•", "+", "◦", "▪", "‣", "●", "○", ">", "→"})
_DASHES = frozenset({"-", "+"})
_AFTER_NUMBER = frozenset({".", ")", ":"})
_CHECKED = frozenset({"x", "v", "✓"})
_LARGEST_NUMBER = 3  # digits of one that numbers a line


@dataclass(frozen=True, slots=True)
class Line:
    """Words `start` to `end` of the prompt, without the mark, which begins at `mark`."""

    start: int
    end: int
    mark: int
    after_blank: bool

    @property
    def is_marked(self) -> bool:
        """Whether the line is an item of a list."""
        return self.mark < self.start


def read_lines(prompt: Words) -> list[Line]:
    """The lines of a prompt that have words."""
    lines: list[Line] = []
    begin = 0
    blank = False
    for end in _ends(prompt.words):
        if begin < end:
            start = begin + mark_at(prompt, begin, end)
            lines.append(Line(start, end, begin, blank))
        blank = begin == end
        begin = end + 1
    if len(lines) == 1 and _is_sign(prompt, lines[0]):
        only = lines[0]
        return [Line(only.mark, only.end, only.mark, only.after_blank)]
    return lines


def _ends(words: list[str]) -> Iterator[int]:
    for at, word in enumerate(words):
        if word == "\n":
            yield at
    yield len(words)


def _is_sign(prompt: Words, line: Line) -> bool:
    """Whether the one mark of a prompt is a minus or a plus: "- 5 + 3"."""
    first = prompt.words[line.mark]
    return (
        line.is_marked
        and first in _DASHES
        and line.start < line.end
        and prompt.words[line.start][0].isdigit()
    )


def mark_at(prompt: Words, at: int, end: int) -> int:
    """How many words the mark at `at` has, if one is there and something follows it."""
    words = prompt.words
    reached = at
    if words[at] in _BULLETS:
        reached = at + 1
    elif words[at].isdecimal() and len(words[at]) <= _LARGEST_NUMBER:
        if at + 1 < end and words[at + 1] in _AFTER_NUMBER:
            reached = at + 2
    elif words[at] == "(" and at + 2 < end and words[at + 2] == ")":
        reached = at + 3 if words[at + 1].isdecimal() else at
    elif len(words[at]) == 1 and words[at].isalpha() and at + 1 < end and words[at + 1] == ")":
        reached = at + 2
    if reached > at and not _is_apart(prompt, reached, end):
        return 0
    return _after_box(words, reached, end) - at


def _is_apart(prompt: Words, at: int, end: int) -> bool:
    """Whether a space parts what is before `at` from what is there."""
    return at < end and prompt.ends[at - 1] < prompt.starts[at]


def _after_box(words: list[str], at: int, end: int) -> int:
    """Past "[ ]" or "[x]"."""
    if at < end and words[at] in ("☐", "☑", "✓"):
        return at + 1
    if at + 1 < end and words[at] == "[":
        if words[at + 1] == "]":
            return at + 2
        if at + 2 < end and words[at + 1] in _CHECKED and words[at + 2] == "]":
            return at + 3
    return at


# The clauses of a line.


_CONNECTING = word_set(
    ", ; . : ! ? • & + - and then so oh ah while since also after afterwards thereafter plus but "
    "or "
    "subsequently next finally lastly in once when additionally as besides on"
) | {"\n"}
_SEVERAL = word_set("todos tasks chores items")
_OPERATING = frozenset({"plus", "+", "-", "minus", "times"})
_OTHER_ADDITIONS = word_set("add subtract split share times how minus remove take")
_ENUMERATING = frozenset({"and", ",", "&"})
_LONGEST_NUMBER = 12  # words
_SIGNS = word_set(", ; . ! ?")
_ENDING = word_set(". ! ?")
_OPENINGS_LOOKED_THROUGH = 4  # a bound, or a prompt of nothing but "and please" costs its square


@dataclass(frozen=True, slots=True)
class Clause:
    """Words `start` to `end` of the prompt; `bond` is how it hangs on the clause before."""

    start: int
    end: int
    bond: Bond
    line: int = 0  # which of the prompt's lines it stands in


def divide(prompt: Words, lines: Sequence[Line], beginnings: PhraseTable[bool]) -> list[Clause]:
    """The clauses of a prompt in order; no word but connectors and marks is left out."""
    clauses: list[Clause] = []
    for number, line in enumerate(lines):
        _divide_line(prompt, line, number, beginnings, clauses)
    return clauses


def _divide_line(
    prompt: Words,
    line: Line,
    number: int,
    beginnings: PhraseTable[bool],
    clauses: list[Clause],
) -> None:
    words = prompt.words
    total = line.end
    start, bond = line.start, Bond.HARD
    at = _after_opening(words, start, total)
    while at < total:
        if words[at] in _CONNECTING:
            found = _connector(prompt, at, total, beginnings)
            if found is not None:
                following, next_bond = found
                if at > start:
                    clauses.append(Clause(start, at, bond, number))
                    bond = next_bond
                else:
                    bond = max(bond, next_bond)
                start = following
                # The "and" of "go ahead and" divides nothing.
                at = _after_opening(words, start, total)
                continue
        elif may_begin_number(words[at]):
            whole = read_number(words, at, min(total, at + _LONGEST_NUMBER))
            if whole is not None:
                at = whole[1]  # nor does the one inside a number
                continue
        at += 1
    if start < total:
        clauses.append(Clause(start, total, bond, number))


def _after_opening(words: list[str], start: int, end: int) -> int:
    at = OPENINGS.skip(words, start, end)
    if start < at < end and words[at - 1] == "-" and is_digits(words[at]):
        return at - 1  # a minus before a number is its own
    return at


def _connector(
    prompt: Words, at: int, total: int, beginnings: PhraseTable[bool]
) -> tuple[int, Bond] | None:
    """Where the clause after the connector at `at` begins, if it divides here."""
    words = prompt.words
    if words[at] in _ENDING:
        return (at + 1, Bond.HARD) if _ends_sentence(prompt, at) else None
    dividing = DIVIDING.longest(words, at, total)
    if dividing is not None:
        return dividing
    joining = JOINING.longest(words, at, total)
    if joining is None or _joins_statuses(words, at, total):
        return None
    following = joining[0]
    if words[at] in _OPERATING and _begins_operand(words, following, total):
        return None  # "the square of 3 plus the square of 4"
    bond = _bond_before(words, at, following, total, beginnings)
    return None if bond is None else (following, bond)


def _bond_before(
    words: list[str], at: int, following: int, total: int, beginnings: PhraseTable[bool]
) -> Bond | None:
    """How the words at `following` hang on those before the connector at `at`, if it divides."""
    begin = OPENINGS.skip(words, following, total, most=_OPENINGS_LOOKED_THROUGH)
    if begin >= total:  # "…, it's done": nothing but courtesies follow
        return Bond.CLEAR if words[at] == "," and following < total else None
    if words[begin] not in _SIGNS and ADDRESSING.longest(words, following, total) is not None:
        return Bond.CLEAR
    if any(beginnings.longest(words, place, total) for place in (following, begin)):
        return Bond.CLEAR
    if words[begin] in PERHAPS_BEGINNINGS:
        return Bond.FUZZY
    return Bond.NUMBER if _begins_calculation(words, at, following, total) else None


def _joins_statuses(words: list[str], at: int, end: int) -> bool:
    """Whether "and" stands inside "open and completed todos"."""
    if at == 0 or at + 1 >= end:
        return False
    before, after = words[at - 1], words[at + 1]
    return (before in STATUSES and after in STATUSES) or (before in _SEVERAL and after in _SEVERAL)


def _begins_operand(words: list[str], at: int, end: int) -> bool:
    """Whether an operand follows a "plus", which then joins two numbers and no requests."""
    if at < end and words[at] == "the":
        at += 1
    if at >= end or words[at] in _OTHER_ADDITIONS:
        return False
    return (
        read_number(words, at, min(at + _LONGEST_NUMBER, end)) is not None
        or words[at] in ("-", "(", "minus")
        or PREFIXES.longest(words, at, end) is not None
        or FUNCTIONS.longest(words, at, end) is not None
    )


def _begins_calculation(words: list[str], at: int, following: int, end: int) -> bool:
    """Whether a number and an operator follow, and the number does not go on with one before."""
    if words[following - 1] not in _ENUMERATING:
        return False
    number = read_number(words, following, min(following + _LONGEST_NUMBER, end))
    if number is None:
        return False
    if "/" in number[0] and number[1] < end and words[number[1]] == "of":
        return True
    return any(signs.longest(words, number[1], end) for signs in (OPERATORS, POSTFIXES, PERCENT))


def _ends_sentence(prompt: Words, at: int) -> bool:
    end = prompt.ends[at]
    if end < len(prompt.text) and not prompt.text[end].isspace():
        return False
    if at == 0 or prompt.words[at] != "." or not is_shortened(prompt.words[at - 1]):
        return True
    if at + 1 == len(prompt.words):
        return False
    before = prompt.words[at - 1]
    return len(before) > 1 and before not in TITLES and prompt.text[prompt.starts[at + 1]].isupper()
