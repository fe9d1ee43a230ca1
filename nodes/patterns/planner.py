"""The pattern planner: a prompt becomes steps, or is refused with the words not understood."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graph.state import Step, Unparsed
from nodes.patterns.arithmetic import looks_like_arithmetic, read_expression
from nodes.patterns.clauses import divide
from nodes.patterns.english.connectors import BEGINNINGS, Bond
from nodes.patterns.english.list_names import is_name_of_list, names_list
from nodes.patterns.english.politeness import take_off_closing, take_off_opening
from nodes.patterns.english.small_talk import is_small_talk
from nodes.patterns.grammar.calls import CALCULATOR, Call, Earlier, calculation
from nodes.patterns.grammar.phrases import Choice, PhraseTable, phrase_set
from nodes.patterns.grammar.words import Words, correct, read_words
from nodes.patterns.ignorable import is_courtesy, is_echo, is_reason, repeats_list
from nodes.patterns.own_phrases import OwnPhrase, own_phrases
from nodes.patterns.todos.fuzzy import is_worth_a_fuzzy_reading
from nodes.patterns.todos.reader import TodoReader
from tools.registry import Tool

Understand = Callable[[Words, int, int, Earlier], list[Call] | None]

_MOST_JOINED = 3  # clauses read as one, when an "and" was part of an item


@dataclass(frozen=True)
class Reading:
    """What was read: steps, or, when anything was not understood, no steps and what that was."""

    steps: list[Step]
    unparsed: list[Unparsed] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


# Examples of what is understood, for an answer that has to refuse.


MOST_EXAMPLES = 3

_BUILT_IN = {
    "calculator": "what is 15% of 200",
    "todo_store.add": "add buy milk to my list",
    "todo_store.list": "show my list",
    "todo_store.complete": "mark buy milk as done",
    "todo_store.delete": "remove buy milk from my list",
    "todo_store.update": "rename buy milk to buy bread",
    "todo_store.get": "show me todo 1",
}


def examples(tools: Mapping[str, object], phrases: Sequence[OwnPhrase]) -> list[str]:
    """Up to three sentences, each for a tool that is there."""
    built_in = [sentence for name, sentence in _BUILT_IN.items() if name in tools]
    own = list({phrase.tool: _spoken(phrase) for phrase in phrases}.values())
    kept = built_in[: MOST_EXAMPLES - min(len(own), 1)]
    return [*kept, *own][:MOST_EXAMPLES]


def _spoken(phrase: OwnPhrase) -> str:
    sentence = phrase.line
    for slot in phrase.slots:
        value = "3" if slot in phrase.numbers else f"some {slot}"
        sentence = sentence.replace(f"{{{slot}}}", value)
    return sentence


class PatternPlanner:
    """Plans for the given tools; raises `InvalidPhrase` when a tool's own phrase is no good."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = frozenset(tools)
        self._phrases = own_phrases(tools)
        self._beginnings = phrase_set(BEGINNINGS)
        for phrase in self._phrases:
            if phrase.literals[0]:
                self._beginnings.add(Choice([list(phrase.literals[0])]), True)
        self._todos = TodoReader(self._tools)
        self._examples = examples(tools, self._phrases)

    def read(self, prompt: str) -> Reading:
        """The plan for `prompt`. Never raises; takes time in proportion to its length."""
        words = read_words(prompt)
        exact = self._planning(words)
        if steps := exact.steps():
            return Reading(steps)
        spellings = [words]
        if (corrected := correct(words)) is not None:
            spellings.append(corrected)
            if steps := self._planning(corrected).steps():
                return Reading(steps)
        for spelling in spellings:
            if is_worth_a_fuzzy_reading(spelling.words) and (
                steps := self._planning(spelling, fuzzy=True).steps()
            ):
                return Reading(steps)
        return Reading([], exact.unparsed, self._examples[:])

    def _calls_fuzzily(
        self, prompt: Words, start: int, end: int, earlier: Earlier
    ) -> list[Call] | None:
        """The same for words that the exact reading alone does not understand."""
        calls = self._calls(prompt, start, end, earlier)
        if calls is None:
            calls = self._todos.read_fuzzily(prompt, start, end, earlier)
        return calls

    def _planning(self, words: Words, *, fuzzy: bool = False) -> "_Planning":
        understand = self._calls_fuzzily if fuzzy else self._calls
        return _Planning(words, self._beginnings, understand, self._calls_fuzzily, fuzzy)

    def _calls(self, prompt: Words, start: int, end: int, earlier: Earlier) -> list[Call] | None:
        """What one clause asks for, or None when it is not understood."""
        call = self._own(prompt, start, end, earlier)
        if call is not None:
            return [call]
        end = take_off_closing(prompt.words, start, end)
        begin = take_off_opening(prompt.words, start, end)
        if begin >= end:
            return None
        call = self._own(prompt, begin, end, earlier)
        if call is None:
            call = self._calculation(prompt, begin, end, earlier)
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
        expression = read_expression(prompt.words, start, end, results)
        if expression is None:
            return None
        return calculation(expression, start, end)


class _Planning:
    """One prompt on its way to a reading."""

    def __init__(
        self,
        prompt: Words,
        beginnings: PhraseTable[bool],
        understand: Understand,
        sense: Understand,
        fuzzy: bool = False,
    ) -> None:
        self.prompt = prompt
        self.sense = sense
        self.fuzzy = fuzzy
        self.understand = understand
        self.clauses = divide(prompt, beginnings)
        self.earlier = Earlier()
        self.calls: list[Call] = []
        self.unparsed: list[Unparsed] = []

    def steps(self) -> list[Step]:
        """The steps of all clauses; none when `unparsed` says what was not understood."""
        at = 0
        while at < len(self.clauses):
            at = self.take(at)
        if not self.calls and not self.unparsed:
            self.refuse(0, len(self.prompt.words))
        if self.unparsed:
            return []
        return [self.step(number, call) for number, call in enumerate(self.calls, 1)]

    def take(self, at: int) -> int:
        """Read the clause at `at`, with the ones after it where they belong to it."""
        start, end = self.clauses[at].start, self.clauses[at].end
        if self.is_talk(start, end):
            return at + 1
        alone = self.read(at, at)
        heading = is_name_of_list(self.prompt.words, start, end)  # "to do list, add tea"
        joined = self.joined(at, alone is not None and not heading)
        calls, last = (alone, at) if joined is None else joined
        if calls is None:
            if not self.is_ignorable(at):
                self.refuse(start, end)
        elif not repeats_list(calls, self.earlier.last, names_list(self.prompt.words, start, end)):
            self.calls += calls
            for call in calls:
                self.earlier.follow(call.tool)
        return last + 1

    def is_talk(self, start: int, end: int) -> bool:
        """Whether a clause asks for nothing at all."""
        words = self.prompt.words
        return is_courtesy(words, start, end) or (self.fuzzy and is_small_talk(words, start, end))

    def is_ignorable(self, at: int) -> bool:
        """Whether the clause at `at` belongs to the request before it, or to the one after it."""
        words, clause = self.prompt.words, self.clauses[at]
        if is_echo(words, clause.start, clause.end, self.earlier.last):
            return True
        following = self.read(at + 1, at + 1) if at + 1 < len(self.clauses) else None
        if following is None:
            return False
        return is_echo(words, clause.start, clause.end, following[0].tool) or is_reason(
            words, clause.start, clause.end, following
        )

    def joined(self, at: int, understood: bool) -> tuple[list[Call], int] | None:
        """The clause at `at` together with next ones that make no sense by themselves.

        What would be understood alone is never swallowed: it is a request of its own.
        """
        for last in range(at + 1, min(at + _MOST_JOINED, len(self.clauses))):
            bond = self.clauses[last].bond
            if bond == Bond.HARD or (understood and bond == Bond.CLEAR):
                return None
            inside_number = bond == Bond.NUMBER and not understood
            if not inside_number and self.makes_sense(last):
                return None
            calls = self.read(at, last)
            if calls is not None:
                return calls, last
        return None

    def makes_sense(self, at: int) -> bool:
        """Whether the clause at `at` could be a request of its own, however it is read."""
        clause = self.clauses[at]
        return self.sense(self.prompt, clause.start, clause.end, self.earlier) is not None

    def read(self, first: int, last: int) -> list[Call] | None:
        start, end = self.clauses[first].start, self.clauses[last].end
        return self.understand(self.prompt, start, end, self.earlier)

    def refuse(self, start: int, end: int) -> None:
        prompt = self.prompt
        span = (
            [prompt.starts[start], prompt.ends[end - 1]] if start < end else [0, len(prompt.text)]
        )
        self.unparsed.append({"text": prompt.text[span[0] : span[1]], "span": span})

    def step(self, number: int, call: Call) -> Step:
        return {
            "step": number,
            "tool": call.tool,
            "input": call.input,
            "reasoning": call.reasoning,
            "span": [self.prompt.starts[call.start], self.prompt.ends[call.end - 1]],
        }
