"""Earlier results inside the words of a to-do: "pay that amount", "the answer and milk"."""

from nodes.patterns.english.politeness import is_shortened
from nodes.patterns.grammar.calls import Before, Earlier, is_whole, literal
from nodes.patterns.grammar.phrases import phrase_set, word_set
from nodes.patterns.grammar.words import Words
from nodes.patterns.todos.items import wording

#: Words for a value that mean an earlier one wherever they stand.
_POINTING = phrase_set(
    [
        "(that|this) [same|exact|total] (amount|sum|result|answer|total|value|number|figure|"
        "outcome|output)",
        "the (result|answer|outcome|output) [of (that|this|it)]|that (many|much)",
        "the (resulting|calculated|computed|same) (amount|sum|value|number|total|figure)",
    ]
)
#: Words that mean one at the end of an item: "pay the total", but "the number of chairs".
_AT_END = phrase_set(["the (amount|sum|total|value|number|figure)"])
_PRONOUNS = frozenset({"it", "that", "this"})
_HOLDING = word_set("with containing holding saying showing for of about")
_BESIDE = frozenset({"and", ",", "or", "then"})
_FEW = 3  # words before a pronoun that can name nothing it could stand for


class Ambiguous(Exception):
    """The words may mean an earlier result or not."""


def text_with_results(
    prompt: Words, start: int, end: int, earlier: Earlier, *, named: bool = False
) -> str:
    """The words from `start` to `end` as an input, earlier results as references.

    `named`: they are a name, which means no result. Raises `Ambiguous` where a pronoun may be one.
    """
    if earlier.result is None or named or _is_quoted(prompt, start, end):
        return literal(wording(prompt, start, end))
    words = prompt.words
    if earlier.before and earlier.is_before:
        return _text_after(prompt, start, end, earlier.before, earlier.result)
    if end - start > 1 and words[start] in _HOLDING and is_whole(words, start + 1, end):
        return earlier.result
    if is_whole(words, start, end):
        return earlier.result
    at, begin, text = start, start, ""
    while at < end:
        reached = _reference_at(words, start, at, end)
        if reached is None:
            at += 1
            continue
        if begin < at:
            text += literal(prompt.text[prompt.starts[begin] : prompt.starts[at]])
        text += earlier.result
        at = reached
        if at < end:
            text += literal(prompt.text[prompt.ends[at - 1] : prompt.starts[at]])
        begin = at
    rest = wording(prompt, begin, end) if text == "" else prompt.source(begin, end)
    return text + literal(rest)


def _text_after(prompt: Words, start: int, end: int, before: Before, result: str) -> str:
    """The same of what was there before the prompt, which only words that point to it mean.

    A pronoun inside of an item stays as it was said: it may mean anything.
    """
    words = prompt.words
    if end - start > 1 and words[end - 1] == "." and not is_shortened(words[end - 2]):
        end -= 1
    holds = end - start > 1 and words[start] in _HOLDING
    if is_whole(words, start + holds, end):
        before.meant_otherwise = True
        return result
    for at in range(start + 1, end):
        found = _POINTING.longest(words, at, end)
        if found is not None:
            before.meant_otherwise = True
            first = literal(prompt.text[prompt.starts[start] : prompt.starts[at]])
            rest = literal(prompt.text[prompt.ends[found[0] - 1] : prompt.ends[end - 1]])
            return first + result + rest
    return literal(wording(prompt, start, end))


def _is_quoted(prompt: Words, start: int, end: int) -> bool:
    return end - start == 1 and prompt.words[start][0] in "\"'"


def _reference_at(words: list[str], start: int, at: int, end: int) -> int | None:
    found = _POINTING.longest(words, at, end)
    if found is not None:
        return found[0]
    found = _AT_END.longest(words, at, end)
    if found is not None and found[0] == end and at > start:
        return found[0]
    if words[at] not in _PRONOUNS or at == start:
        return None
    before = words[start:at]
    if at + 1 == end and len(before) <= _FEW and _BESIDE.isdisjoint(before):
        return end
    if words[at] == "it" and _BESIDE.isdisjoint(before):
        raise Ambiguous
    return None
