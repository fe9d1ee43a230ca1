"""The pattern planner: a prompt becomes steps, or is refused with the words not understood."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graph.state import Step, Unparsed
from nodes.patterns.arithmetic import looks_like_arithmetic, read_expression
from nodes.patterns.clauses import Clause, divide
from nodes.patterns.connectors import BEGINNINGS, Bond
from nodes.patterns.examples import examples
from nodes.patterns.lines import Choice
from nodes.patterns.own_phrases import own_phrases
from nodes.patterns.phrases import PhraseTable, phrase_set
from nodes.patterns.politeness import take_off_closing, take_off_opening
from nodes.patterns.references import Earlier
from nodes.patterns.requests import CALCULATOR, Call, calculation
from nodes.patterns.todos import TodoReader
from nodes.patterns.words import Words, read_words
from tools.registry import Tool

Understand = Callable[[Words, int, int, Earlier], list[Call] | None]

_MOST_JOINED = 3  # clauses read as one, when an "and" was part of an item


@dataclass(frozen=True)
class Reading:
    """What was read: steps, or, when anything was not understood, no steps and what that was."""

    steps: list[Step]
    unparsed: list[Unparsed] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


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
        planning = _Planning(read_words(prompt), self._beginnings, self._calls)
        steps = planning.steps()
        return Reading([], planning.unparsed, self._examples[:]) if not steps else Reading(steps)

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
        number = earlier.number
        if CALCULATOR not in self._tools or not looks_like_arithmetic(
            prompt.words, start, end, number
        ):
            return None
        expression = read_expression(prompt.words, start, end, number)
        if expression is None:
            return None
        return calculation(expression, start, end)


class _Planning:
    """One prompt on its way to a reading."""

    def __init__(
        self, prompt: Words, beginnings: PhraseTable[bool], understand: Understand
    ) -> None:
        self.prompt = prompt
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
        if self.is_courtesy(self.clauses[at]):
            return at + 1
        alone = self.read(at, at)
        joined = self.joined(at, alone is not None)
        calls, last = (alone, at) if joined is None else joined
        if calls is None:
            self.refuse(self.clauses[at].start, self.clauses[at].end)
        else:
            self.calls += calls
            for call in calls:
                self.earlier.follow(call.tool)
        return last + 1

    def is_courtesy(self, clause: Clause) -> bool:
        """Whether nothing is asked: "hello", "thanks a lot"."""
        words = self.prompt.words
        end = take_off_closing(words, clause.start, clause.end)
        return take_off_opening(words, clause.start, end) == end

    def joined(self, at: int, understood: bool) -> tuple[list[Call], int] | None:
        """The clause at `at` together with next ones that make no sense by themselves.

        What would be understood alone is never swallowed: it is a request of its own.
        """
        for last in range(at + 1, min(at + _MOST_JOINED, len(self.clauses))):
            bond = self.clauses[last].bond
            if bond == Bond.HARD or (understood and bond == Bond.CLEAR):
                return None
            inside_number = bond == Bond.NUMBER and not understood
            if not inside_number and self.read(last, last) is not None:
                return None
            calls = self.read(at, last)
            if calls is not None:
                return calls, last
        return None

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
