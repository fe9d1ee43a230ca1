"""The pattern planner: a prompt becomes steps, or is refused with the words not understood.

A tool's author can give it sentences of its own: `@tool(phrases=["sleep {seconds} seconds"])`. They
may take sentences away from the built-in language, which `doctor` and the start say.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graph.state import Conversation, Step, Unparsed
from nodes.patterns.accounts import Examples, Reading, asks_permission, is_question
from nodes.patterns.antecedent import (
    LISTED,
    OUTPUT,
    Antecedent,
    Earlier,
    antecedent_of,
    is_used,
    is_whole,
    referring,
    supposed,
)
from nodes.patterns.english.small_talk import take_off_closing, take_off_opening
from nodes.patterns.english.todo_templates import BEGINNINGS
from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.grammar.phrases import choice, phrase_set
from nodes.patterns.grammar.words import (
    CALCULATOR,
    STORE,
    Call,
    Words,
    calculation,
    correct,
    literal,
    read_words,
)
from nodes.patterns.planning import Planning, Readers
from nodes.patterns.sums.reader import (
    continues,
    is_only_mark,
    looks_like_arithmetic,
    read_expression,
)
from nodes.patterns.todos.fuzzy import is_worth_a_fuzzy_reading
from nodes.patterns.todos.items import wording
from nodes.patterns.todos.reader import TodoReader
from tools.registry import InvalidTool
from tools.toolbox import Tool

_SLOT = re.compile(r"\{([^{}]*)\}")


class InvalidPhrase(InvalidTool):
    """A phrase that cannot be read; the message names tool, phrase and what would be right."""

    def __init__(self, tool: str, phrase: str, reason: str) -> None:
        super().__init__(f"phrase {phrase!r} of tool {tool!r}: {reason}")
        self.tool = tool


@dataclass(frozen=True, slots=True)
class OwnPhrase:
    """`literals[0] slot literals[1] slot … literals[-1]`, the first and last possibly empty."""

    tool: str
    line: str
    literals: tuple[tuple[str, ...], ...]
    slots: tuple[str, ...]
    numbers: Mapping[str, type]

    def places(self, words: Sequence[str], start: int, end: int) -> list[tuple[int, int]] | None:
        """Where each slot's words stand when the phrase covers `start` to `end` exactly."""
        first, last = self.literals[0], self.literals[-1]
        if tuple(words[start : start + len(first)]) != first:
            return None
        if not self.slots:
            return [] if end - start == len(first) else None
        at = start + len(first)
        stop = end - len(last)
        if stop <= at or tuple(words[stop:end]) != last:
            return None
        found = []
        for inner in self.literals[1:-1]:
            after = _find(words, inner, at + 1, stop)
            if after is None:
                return None
            found.append((at, after - len(inner)))
            at = after
        return [*found, (at, stop)] if at < stop else None

    def read(self, prompt: Words, start: int, end: int, earlier: Earlier) -> Call | None:
        """The call that the words ask for, or None; a number slot takes numbers only."""
        places = self.places(prompt.words, start, end)
        if places is None:
            return None
        given: dict[str, str | int | float] = {}
        for slot, (first, last) in zip(self.slots, places, strict=True):
            value = self._value(slot, prompt, first, last, earlier)
            if value is None:
                return None
            given[slot] = value
        return Call(self.tool, given, f"asks for it as in “{self.line}”", start, end)

    def _value(
        self, slot: str, prompt: Words, first: int, last: int, earlier: Earlier
    ) -> str | int | float | None:
        kind = self.numbers.get(slot)
        if is_whole(prompt.words, first, last):
            if earlier.before and earlier.is_before:
                earlier.before.meant_otherwise = True
                return earlier.before.name if kind is None else earlier.number
            if earlier.number is not None:
                return earlier.number
        if kind is None:
            return literal(wording(prompt, first, last)) or None
        sign = -1 if prompt.words[first] in ("-", "minus", "negative") else 1
        begin = first if sign == 1 else first + 1
        number = read_number(prompt.words, begin, last)
        if number is None or number[1] != last:
            return None
        try:
            return sign * int(number[0]) if kind is int else sign * float(number[0])
        except ValueError:  # a fraction, or decimals where a whole number is wanted
            return None


def own_phrases(tools: Mapping[str, Tool]) -> list[OwnPhrase]:
    """The phrases of all tools, the most specific first.

    Raises `InvalidPhrase` for a phrase that names no parameter of its tool, leaves out a required
    one, cannot be told apart from another, or could not be matched in one way only.
    """
    made: list[OwnPhrase] = []
    shapes: dict[tuple[tuple[str, ...], ...], OwnPhrase] = {}
    for tool in tools.values():
        for line in tool.phrases:
            phrase = _compile(tool, line)
            other = shapes.setdefault(phrase.literals, phrase)
            if other is not phrase:
                raise InvalidPhrase(
                    tool.name,
                    line,
                    f"cannot be told apart from {other.line!r} of tool {other.tool!r}; "
                    "change a word outside the braces",
                )
            made.append(phrase)
    return sorted(made, key=_rank)


def _rank(phrase: OwnPhrase) -> tuple[int, int]:
    """The most words of its own first, then the fewest parameters."""
    return -sum(len(words) for words in phrase.literals), len(phrase.slots)


def _compile(tool: Tool, line: str) -> OwnPhrase:
    parts = _SLOT.split(line)
    literals = tuple(tuple(read_words(part).words) for part in parts[0::2])
    slots = tuple(parts[1::2])
    fields = tool.parameters
    known = ", ".join(f"{{{name}}}" for name in fields) or "none"
    if any("{" in words or "}" in words for words in literals):
        raise InvalidPhrase(tool.name, line, "write a parameter as {name}, both braces closed")
    for slot in slots:
        if slot not in fields:
            raise InvalidPhrase(
                tool.name, line, f"{{{slot}}} is no parameter of the tool; it has {known}"
            )
    missing = [name for name, field in fields.items() if field.required and name not in slots]
    if missing:
        raise InvalidPhrase(
            tool.name, line, f"add {{{missing[0]}}}: the tool cannot be called without it"
        )
    if len(set(slots)) != len(slots):
        raise InvalidPhrase(tool.name, line, "use each parameter once")
    if not any(literals):
        raise InvalidPhrase(tool.name, line, "add words around the parameters; it would match all")
    if not all(literals[1:-1]):
        raise InvalidPhrase(
            tool.name, line, "put a word between two parameters; where one ends is not clear"
        )
    return OwnPhrase(tool.name, line, literals, slots, _numbers(tool))


def _numbers(tool: Tool) -> dict[str, type]:
    parameters = tool.parameters.items()
    return {name: one.number for name, one in parameters if one.number is not None}


def _find(words: Sequence[str], wanted: tuple[str, ...], start: int, end: int) -> int | None:
    """Where the first occurrence of `wanted` ends."""
    for at in range(start, end - len(wanted) + 1):
        if words[at] == wanted[0] and tuple(words[at : at + len(wanted)]) == wanted:
            return at + len(wanted)
    return None


def spoken(phrase: OwnPhrase) -> str:
    """A sentence of this phrase."""
    sentence = phrase.line
    for slot in phrase.slots:
        value = "3" if slot in phrase.numbers else f"some {slot}"
        sentence = sentence.replace(f"{{{slot}}}", value)
    return sentence


#: Words of a prompt of which it is said why they refer to nothing; a longer one is only refused.
_LONGEST_SUPPOSED = 60


class PatternPlanner:
    """Plans for the given tools; raises `InvalidPhrase` when a tool's own phrase is no good."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._asking = frozenset({CALCULATOR, *(STORE + name for name in ("list", "get"))})
        self._phrases = own_phrases(tools)
        self._examples = Examples(
            tools, [(phrase.tool, spoken(phrase)) for phrase in self._phrases]
        )
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
