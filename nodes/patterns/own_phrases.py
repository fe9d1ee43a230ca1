"""A tool author's own sentences: `@tool(phrases=["sleep {seconds} seconds"])`.

And what to say instead of a sentence that was refused: the nearest ones that are understood, those
of tools' authors among them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from nodes.patterns.english.arithmetic_words import MATH_WORDS
from nodes.patterns.english.todo_words import FINISHING, TAKING, TICKING
from nodes.patterns.grammar.calls import Call, Earlier, is_whole, literal
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits, read_number
from nodes.patterns.grammar.phrases import word_set
from nodes.patterns.grammar.words import Words, read_words
from nodes.patterns.todos.items import wording
from tools.registry import InvalidTool, Tool

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
    """The sentences that these tools understand."""

    def __init__(self, tools: Mapping[str, object], phrases: Sequence[OwnPhrase]) -> None:
        own = [(phrase.tool, spoken(phrase)) for phrase in phrases]
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
