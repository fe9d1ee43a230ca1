"""Examples of what is understood, for an answer that has to refuse."""

from collections.abc import Mapping, Sequence

from nodes.patterns.own_phrases import OwnPhrase

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
