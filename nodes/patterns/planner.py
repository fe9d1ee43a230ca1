"""The pattern planner: a prompt becomes steps, or is refused with the words not understood.

Own phrases of tools may take sentences away from the built-in language, which `doctor` and the
start say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from graph.state import Conversation, Step, Unparsed
from nodes.patterns.antecedent import (
    LISTED,
    OUTPUT,
    Antecedent,
    antecedent_of,
    is_used,
    referring,
    supposed,
)
from nodes.patterns.english.connectors import BEGINNINGS
from nodes.patterns.english.politeness import take_off_closing, take_off_opening
from nodes.patterns.english.small_talk import asks_permission, is_question
from nodes.patterns.grammar.calls import CALCULATOR, STORE, Call, Earlier, calculation
from nodes.patterns.grammar.phrases import choice, phrase_set
from nodes.patterns.grammar.words import Words, correct, read_words
from nodes.patterns.own_phrases import Examples, own_phrases, spoken
from nodes.patterns.planning import Account, Planning, Readers
from nodes.patterns.sums.reader import (
    continues,
    is_only_mark,
    looks_like_arithmetic,
    read_expression,
)
from nodes.patterns.todos.fuzzy import is_worth_a_fuzzy_reading
from nodes.patterns.todos.reader import TodoReader
from tools.loading import BUILTIN
from tools.registry import Tool, make_tools

#: Words of a prompt of which it is said why they refer to nothing; a longer one is only refused.
_LONGEST_SUPPOSED = 60


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


class PatternPlanner:
    """Plans for the given tools; raises `InvalidPhrase` when a tool's own phrase is no good."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._asking = frozenset({CALCULATOR, *(STORE + name for name in ("list", "get"))})
        self._phrases = own_phrases(tools)
        self._examples = Examples(tools, self._phrases)
        self._beginnings = phrase_set(BEGINNINGS)
        for phrase in self._phrases:
            if phrase.literals[0]:
                self._beginnings.add(choice([[(word,) for word in phrase.literals[0]]]), True)
        self._todos = TodoReader(self._tools)
        self._numbers = {phrase.tool: phrase.numbers for phrase in self._phrases}

    def read(self, prompt: str, conversation: Conversation | None = None) -> Reading:
        """The plan for `prompt`. Never raises; takes time in proportion to its length.

        Words that refer to nothing in it mean what the last run of the `conversation` returned.
        """
        words = read_words(prompt)
        reading = self._reading(words)
        before = antecedent_of(conversation) if conversation else None
        if before is None:
            return reading
        after = self._reading(words, before)
        if reading.steps and not before.meant_otherwise:
            return reading
        used = is_used(after.steps)
        if used and self._is_only_asked(words, after.steps):
            return Reading([], [_whole(words)], self._examples.nearest(words.words))
        if after.steps and reading.steps and not used and after.steps != reading.steps:
            after = replace(after, steps=[], unparsed=[_whole(words)])  # a last resort
        if after.steps:
            return replace(after, steps=before.filled(after.steps, self._numbers))
        return self._refused(words, after, before)

    def _is_only_asked(self, words: Words, steps: list[Step]) -> bool:
        """Whether a change is asked about, as in "it's done?", or said to be done once more."""
        changing = [step["tool"] for step in steps if step["tool"] not in self._asking]
        if f"{STORE}complete" in changing and "again" in words.words:
            return True
        return bool(changing) and is_question(words.text)

    def _refused(self, words: Words, reading: Reading, before: Antecedent) -> Reading:
        """The refusal; it is for what the last run returned where something else would do."""
        if len(words.words) > _LONGEST_SUPPOSED:
            return reading
        for needed, antecedent in supposed():
            if is_used(self._reading(words, antecedent).steps):
                return self._refers_to_nothing(words, reading, before, needed)
        return reading

    def _refers_to_nothing(
        self, words: Words, reading: Reading, before: Antecedent, needed: str
    ) -> Reading:
        unparsed: list[Unparsed] = []
        for part in reading.unparsed:
            first, last = part["span"] or [0, 0]
            inside = [at for at in range(len(words.words)) if first <= words.starts[at] < last]
            found = referring(words.words, inside[0], inside[-1] + 1) if inside else None
            if found is not None:
                span = [words.starts[found[0]], words.ends[found[1] - 1]]
                unparsed.append({"text": words.text[span[0] : span[1]], "span": span})
        unparsed = unparsed or reading.unparsed
        said = " and ".join(f'"{part["text"]}"' for part in unparsed)
        reason = f"{said} could not be {needed}: the last run of the thread {before.described}"
        if needed == LISTED and not before.is_listing:
            reason += "; show the list again, or name it"
        return replace(reading, unparsed=unparsed, reason=reason)

    def _reading(self, words: Words, before: Antecedent | None = None) -> Reading:
        """The first reading that understands all of the words, after what was there before."""
        exact = self._planning(words, before)
        if steps := exact.steps():
            return Reading(steps, accounts=exact.ledger.accounts())
        plannings = []
        corrected = correct(words)
        if corrected is not None:
            plannings.append(self._planning(corrected, before))
        plannings += [
            self._planning(spelling, before, fuzzy=True)
            for spelling in (words, corrected)
            if spelling is not None and is_worth_a_fuzzy_reading(spelling.words)
        ]
        for planning in plannings:
            if steps := planning.steps():
                return Reading(steps, accounts=planning.ledger.accounts())
        return Reading([], exact.unparsed, self._examples.nearest(words.words))

    def _calls_fuzzily(
        self, prompt: Words, start: int, end: int, earlier: Earlier
    ) -> list[Call] | None:
        """The same for words that the exact reading alone does not understand."""
        calls = self._calls(prompt, start, end, earlier)
        if calls is None:
            calls = self._asked_for(
                self._todos.read_fuzzily(prompt, start, end, earlier), prompt, start, end
            )
        return calls

    def _asked_for(
        self, calls: list[Call] | None, prompt: Words, start: int, end: int
    ) -> list[Call] | None:
        """The same calls, unless they change something and were only asked about."""
        if calls and not self._asking.issuperset(call.tool for call in calls):
            return None if asks_permission(prompt.words, start, end) else calls
        return calls

    def _planning(
        self, words: Words, before: Antecedent | None, *, fuzzy: bool = False
    ) -> Planning:
        understand = self._calls_fuzzily if fuzzy else self._calls
        readers = Readers(understand, self._calls_fuzzily, self._todos.open)
        return Planning(words, self._beginnings, readers, fuzzy, before)

    def _calls(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        """What one clause asks for, or None when it is not understood."""
        return self._asked_for(self._read(prompt, start, end, earlier), prompt, start, end)

    def _read(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        call = self._own(prompt, start, end, earlier)
        if call is not None:
            return [call]
        end = take_off_closing(prompt.words, start, end)
        if earlier.is_before and (done := self._todos.said_done(prompt, start, end, earlier)):
            return done
        begin = take_off_opening(prompt.words, start, end)
        if begin >= end:
            return None
        call = self._own(prompt, begin, end, earlier)
        if call is None:
            call = self._calculation(prompt, begin, end, earlier)
        if call is None and earlier.is_before:  # "plus 4" continues what was there before
            call = self._calculation(prompt, start, end, earlier)
        if call is not None:
            return [call]
        calls = self._todos.read(prompt, begin, end, earlier)
        if calls is None and begin > start:  # "I need milk on my list" is more than an opening
            calls = self._todos.read(prompt, start, end, earlier)
        return calls

    def _own(self, prompt: Words, start: int, end: int, earlier: Earlier) -> Call | None:
        for phrase in self._phrases:
            call = phrase.read(prompt, start, end, earlier)
            if call is not None:
                return call
        return None

    def _calculation(self, prompt: Words, start: int, end: int, earlier: Earlier) -> Call | None:
        results = earlier.results
        if CALCULATOR not in self._tools or not looks_like_arithmetic(
            prompt.words, start, end, results
        ):
            return None
        if (before := earlier.before) and earlier.is_before and results[-1:] == [OUTPUT]:
            words = prompt.words
            if start and words[start - 1] == "plus":
                start -= 1
            if continues(words, start, end):
                before.meant_otherwise = True  # and is no number with a sign
            if is_only_mark(words, start):
                before.meant_otherwise = True
                return None  # "* (3 + 2)" is no item of a list
        expression = read_expression(prompt.words, start, end, results)
        if expression is None:
            return None
        return calculation(expression[0], start, end, expression[1])


def _whole(words: Words) -> Unparsed:
    return {"text": words.text, "span": [0, len(words.text)]}


@dataclass(frozen=True, slots=True)
class Overlap:
    """A phrase of a tool whose sentences the tool `instead_of` understood before."""

    tool: str
    phrase: str
    instead_of: str

    def __str__(self) -> str:
        return (
            f"the phrase {self.phrase!r} of tool {self.tool!r} takes sentences away from "
            f"{self.instead_of!r}"
        )


def overlapping_phrases(tools: Mapping[str, Tool]) -> Iterator[Overlap]:
    """Every own phrase that the built-in sentences of these tools would understand as well.

    Raises `InvalidPhrase` when a phrase is no good.
    """
    phrases = own_phrases(tools)
    if not phrases:
        return
    planner = PatternPlanner(
        {name: tool for name, tool in make_tools(BUILTIN).items() if name in tools}
    )
    for phrase in phrases:
        steps = planner.read(spoken(phrase)).steps
        if steps:
            yield Overlap(phrase.tool, phrase.line, steps[0]["tool"])
