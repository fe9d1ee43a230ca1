"""The one list of words that a plan may leave without effect, as entries that are reviewed.

An entry is one thing that people say, in all its wordings: a line of `grammar.phrases`, or a group
of single words. There are at most `MOST_ENTRIES`, so that each can be read. None of them may
narrow a request, deny it, put it off or name another thing to act on.
"""

from collections.abc import Sequence

from nodes.patterns.english.arithmetic_words import (
    AFTER_LINES,
    BEFORE_LINES,
    ECHO_LINES,
    WORDS_AFTER,
    WORDS_BEFORE,
    is_talk_after,
    skip_talk,
)
from nodes.patterns.english.connectors import DIVIDING_LINES, JOINING_LINES
from nodes.patterns.english.list_words import FILLERS
from nodes.patterns.english.politeness import AFTER_LIST, CLASSES, CLOSING_LINES, OPENING_LINES
from nodes.patterns.english.small_talk import (
    ADVERBS,
    CLOSER_LINES,
    FRIENDS,
    INTERJECTIONS,
    LEAD_LINES,
    REMARK_LINES,
    SIGNS,
    is_statement,
)
from nodes.patterns.grammar.phrases import phrase_set

MOST_ENTRIES = 150

#: Politeness, connectors, fillers and remarks, by what they are.
ENTRIES: dict[str, list[str]] = {
    "before a request": [*OPENING_LINES, *LEAD_LINES],
    "after a request": [*CLOSING_LINES, *AFTER_LIST, *CLOSER_LINES],
    "between requests": [*DIVIDING_LINES, *JOINING_LINES],
    "remarks": [*REMARK_LINES, *ECHO_LINES],
    "around a calculation": [
        *BEFORE_LINES,
        *AFTER_LINES,
        "|".join(sorted(WORDS_BEFORE)),
        "|".join(sorted(WORDS_AFTER)),
    ],
    "in a question about the list": ["|".join(sorted(FILLERS))],
    "single words": ["|".join(sorted(group)) for group in (INTERJECTIONS, FRIENDS, ADVERBS)],
}
_SUMS_ONLY = ("around a calculation", "in a question about the list")
_PHRASES = phrase_set(
    [line for part, lines in ENTRIES.items() if part not in _SUMS_ONLY for line in lines], CLASSES
)


def talk_ends(words: Sequence[str], at: int, end: int, *, sums: bool) -> int:
    """Where the words end that begin at `at` and ask for nothing; `at` where there are none.

    `sums`: the words that may stand around a calculation are among them.
    """
    found = _PHRASES.longest(words, at, end)
    if found is not None:
        return found[0]
    if words[at] in SIGNS:
        return at + 1
    if sums and is_talk_after(words, at, end):
        return end
    if sums and (after := skip_talk(words, at, end)) is not None:
        return after
    return end if is_statement(words, at, end) else at
