"""What each word of a prompt was used for, and what may stand in it that asks for nothing.

A prompt with a word that was used for nothing is refused: the nearest sentences that would be
understood are given with the refusal.

`ENTRIES` is the one list of words that a plan may leave without effect, to be reviewed. An entry is
one thing that people say, in all its wordings: a line of `grammar.phrases`, or a group of single
words. There are at most `MOST_ENTRIES`, so that each can be read. None of them may narrow a
request, deny it, put it off or name another thing to act on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from graph.state import Step, Unparsed
from nodes.patterns.clauses import DIVIDING_LINES, JOINING_LINES
from nodes.patterns.english.arithmetic_words import (
    AFTER_LINES,
    BEFORE_LINES,
    ECHO_LINES,
    ECHOES,
    MATH_WORDS,
    WORDS_AFTER,
    WORDS_BEFORE,
    is_talk_after,
    skip_talk,
)
from nodes.patterns.english.list_words import CHANGING, FILLERS
from nodes.patterns.english.small_talk import (
    ADVERBS,
    CLASSES,
    CLOSER_LINES,
    CLOSING_LINES,
    FRIENDS,
    INTERJECTIONS,
    LEAD_LINES,
    OPENING_LINES,
    OPENINGS,
    REMARK_LINES,
    SIGNS,
    TALK,
    is_statement,
    says_what_became_of,
    take_off_closing,
    take_off_opening,
)
from nodes.patterns.english.todo_words import AFTER_LIST, FINISHING, TAKING, TICKING
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits
from nodes.patterns.grammar.phrases import phrase_set, word_set
from nodes.patterns.grammar.words import CALCULATOR, STORE, Call, Words, read_words

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


POLITENESS = "politeness"


# What the words of one prompt were used for.


@dataclass(frozen=True, slots=True)
class Account:
    """What the characters from `start` to `end` of a prompt meant."""

    start: int
    end: int
    meaning: str


class Ledger:
    """Collects what the words of one prompt were used for."""

    def __init__(self, prompt: Words) -> None:
        self._prompt = prompt
        self._meanings: list[str | None] = [None] * len(prompt.words)

    def use(self, start: int, end: int, meaning: str) -> None:
        """Note that the words from `start` to `end` mean this; what is noted already stays."""
        meanings = self._meanings
        for at in range(start, end):
            if meanings[at] is None:
                meanings[at] = meaning

    def talk(self, start: int, end: int, *, sums: bool = False) -> None:
        """Note which of the unused words there ask for nothing; `sums`: around a calculation."""
        for first, last in list(self._unused(start, end)):
            at = first
            while at < last:
                reached = talk_ends(self._prompt.words, at, last, sums=sums)
                if reached > at:
                    self.use(at, reached, POLITENESS)
                at = max(reached, at + 1)

    def missing(self) -> list[tuple[int, int]]:
        """The words that nothing has accounted for, as ranges."""
        return list(self._unused(0, len(self._meanings)))

    def accounts(self) -> list[Account]:
        """What all words meant, in order; neighbours of one meaning are one account."""
        prompt = self._prompt
        made: list[Account] = []
        for at, meaning in enumerate(self._meanings):
            if meaning is None:
                continue
            start, end = prompt.starts[at], prompt.ends[at]
            if made and made[-1].meaning == meaning:
                made[-1] = Account(made[-1].start, end, meaning)
            else:
                made.append(Account(start, end, meaning))
        return made

    def _unused(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        first = None
        for at in range(start, end):
            if self._meanings[at] is None:
                first = at if first is None else first
            elif first is not None:
                yield first, at
                first = None
        if first is not None:
            yield first, end


@dataclass(frozen=True)
class Reading:
    """What was read: steps, or, when anything was not understood, no steps and what that was.

    With steps, `accounts` says what each word of the prompt was used for. `reason` says what a word
    for something said before could not be.
    """

    steps: list[Step]
    unparsed: list[Unparsed] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    reason: str | None = None


# Clauses that ask for nothing of their own: courtesies, echoes and reasons.
#
# "what's 5 plus 3, i forget", "check my list and tell me if tea is on it", "i have to call Bob, so
# add call Bob to my list" are one request each.


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


# Questions about what is asked for otherwise.


#: Asking whether something may be done, or was, and not for it: "can i delete todo 1".
_PERMISSION = phrase_set(
    [
        "(can|could|may|might|shall|should|must|do|did|will|would|dare|ought|have|had|can't|"
        "couldn't|shouldn't|mustn't|mayn't) (i|we)",
        "is it (ok|okay|fine|alright|possible|allowed|safe|good|wise|right|a good idea|too late) "
        "(if|that|to|when)",
        "(am|are) (i|we) (allowed|able|supposed|permitted|free|going|meant)",
        "is there (a|any) (way|chance) to|what (happens|if|would happen|will happen)|"
        "how (do|can|could|should|would|may) (i|we)|why (do|did|can|should|would)",
    ]
)
#: After these, another is asked, or something to be had: "may i ask you", "can i have tea added".
_HAVING = frozenset({"get", "have", "ask", "trouble", "bother", "see", "hear", "know"})


_LONGEST_LEAD = 6  # phrases before a question


def asks_permission(words: Sequence[str], start: int, end: int) -> bool:
    """Whether a clause asks if something may be done, and not that it is done."""
    at = start
    for _ in range(_LONGEST_LEAD):
        found = _PERMISSION.longest(words, at, end)
        if found is not None:
            after = found[0]
            return not (after < end and words[after] in _HAVING)
        if at >= end:
            return False
        lead = OPENINGS.longest(words, at, end)
        if lead is not None:
            at = lead[0]
        elif words[at] in TALK:
            at += 1
        else:
            return False
    return False


#: A question that is a request: "could you delete it?".
_REQUESTING = re.compile(
    r"\b((can|could|would|will|can't|won't) (you|u|ya|we)|please|pls|mind)\b", re.I
)
_QUESTION_MARK = re.compile(r"\?(?=[\s?!.]|$)")


def is_question(text: str) -> bool:
    """Whether a prompt with a question mark requests nothing: "it's done?"."""
    return bool(_QUESTION_MARK.search(text)) and _REQUESTING.search(text) is None


# What to say instead of a sentence that was refused.


MOST_EXAMPLES = 3

#: Sentences of the built-in language by tool; the first of each stands for the tool.
_SENTENCES = {
    "calculator": (
        "what is 15% of 200",
        "what is 12 * (3 + 4)",
        "the square root of 81",
        "add 20% to 50",
        "the average of 3, 4 and 8",
    ),
    "todo_store.add": (
        "add buy milk to my list",
        "add a todo: call Ann tomorrow at 9",
        "add these todos: milk, eggs",
        "remind me to call Ann",
    ),
    "todo_store.list": (
        "show my list",
        "show my open todos",
        "how many todos do I have",
        "is milk on my list",
    ),
    "todo_store.complete": (
        "mark buy milk as done",
        "complete todos 1 and 3",
        "mark everything as done",
    ),
    "todo_store.delete": ("remove buy milk from my list", "delete todo 2", "clear my list"),
    "todo_store.update": ("rename buy milk to buy bread",),
    "todo_store.get": ("show me todo 1",),
}
#: Words that point to a tool, whatever sentence they stand in.
_POINTING = {
    "todo_store.add": word_set("add put create new remind remember note write insert make"),
    "todo_store.list": word_set("show list what's read see view which count many tell display"),
    "todo_store.complete": TICKING | FINISHING | word_set("done complete completed finished"),
    "todo_store.delete": (TAKING | word_set("delete")) - word_set("get take"),
    "todo_store.update": word_set("rename change update edit replace reword set"),
    "calculator": MATH_WORDS
    | word_set("calculate compute plus minus times divided sum average percent + - * / % tip"),
}
_COMMON = word_set("a an the to my of is and i me it in on for with please , . ? ! : some 1 2 3")
_NONE: frozenset[str] = frozenset()
_PLACED = word_set("todo todos task tasks item items")  # beside them a number is a place
_POINTS = 3  # what a word that points to a tool counts, beside one for a word in common


class Examples:
    """The sentences that these tools understand; `own` ones are by the names of their tools."""

    def __init__(self, tools: Mapping[str, object], own: list[tuple[str, str]]) -> None:
        built_in = [
            (tool, sentence)
            for tool, sentences in _SENTENCES.items()
            if tool in tools
            for sentence in sentences
        ]
        self._sentences = [
            (sentence, frozenset(read_words(sentence).words) - _COMMON, _POINTING.get(tool, _NONE))
            for tool, sentence in _usual_first(built_in, own)
        ]

    def nearest(self, prompt: Sequence[str]) -> list[str]:
        """Up to three sentences, those with the most in common with the words of `prompt` first."""
        said = set(prompt)
        if _PLACED.isdisjoint(said) and any(
            is_digits(word) or word in NUMBER_WORDS for word in said
        ):
            said.add("plus")
        scored = [
            (-len(words & said) - (0 if pointing.isdisjoint(said) else _POINTS), order, sentence)
            for order, (sentence, words, pointing) in enumerate(self._sentences)
        ]
        return [sentence for _, _, sentence in nsmallest(MOST_EXAMPLES, scored)]


def _usual_first(
    built_in: list[tuple[str, str]], own: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The order where nothing is in common: a sentence of three tools, an own one among them."""
    firsts = list({tool: (tool, sentence) for tool, sentence in reversed(built_in)}.values())[::-1]
    rest = [pair for pair in built_in if pair not in firsts]
    shown = MOST_EXAMPLES - min(len(own), 1)
    return [*firsts[:shown], *own, *firsts[shown:], *rest]
