"""What to say instead: sentences that are understood, the nearest to one that was refused."""

from collections.abc import Mapping, Sequence
from heapq import nsmallest

from nodes.patterns.english.arithmetic_words import MATH_WORDS
from nodes.patterns.english.todo_words import FINISHING, TAKING, TICKING
from nodes.patterns.grammar.numbers import NUMBER_WORDS, is_digits
from nodes.patterns.grammar.phrases import word_set
from nodes.patterns.grammar.words import read_words
from nodes.patterns.own_phrases import OwnPhrase, spoken

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
