"""Every word of a planned prompt is accounted for, and none of them is there for nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.planner.own_prompts import own_prompts
from nodes.patterns.accounts import ENTRIES, MOST_ENTRIES, Ledger, Reading, talk_ends
from nodes.patterns.grammar.words import read_words
from nodes.patterns.planner import PatternPlanner
from tests.nodes.patterns.texts.composed import prompts
from tests.support.examples import examples
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))
#: Words that narrow a request, deny it, put it off or name another thing.
NARROWING = (
    "tomorrow yesterday monday week urgent last three except only unless not never if euros "
    "kilometers work shopping twice every or without later"
)
SEEN = [prompt.text for prompt in own_prompts()]


def uncovered(prompt: str, reading: Reading) -> str:
    """The characters of a prompt that no account covers, without spaces."""
    covered: set[int] = set()
    for account in reading.accounts:
        covered.update(range(account.start, account.end))
    rest = "".join(sign for at, sign in enumerate(prompt) if at not in covered)
    return "".join(word for word in read_words(rest).words if word != "\n")


def meaning(reading: Reading) -> object:
    """What a reading made of its prompt, without the places."""
    steps = [(step["tool"], step["input"]) for step in reading.steps]
    return steps, [account.meaning for account in reading.accounts]


@pytest.mark.parametrize(
    "prompt",
    [
        "please add milk to my list, thanks",
        "hey, what's 5 plus 3, and show my list",
        "add these todos: milk, eggs and flour; then show my list",
        "1. add todo a\n2. what is 2 + 2",
        "remind me tomorrow to call Ann please",
        "could you add a todo to my list: call Bob",
    ],
)
def test_every_word_of_a_plan_is_accounted_for(prompt: str) -> None:
    reading = PLANNER.read(prompt)
    assert reading.steps
    assert uncovered(prompt, reading) == ""


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.sampled_from(SEEN), prompts.map(lambda prompt: prompt[0])))
def test_the_accounts_of_a_plan_are_its_whole_prompt(prompt: str) -> None:
    reading = PLANNER.read(prompt)
    assert bool(reading.accounts) == bool(reading.steps)
    if reading.steps:
        assert uncovered(prompt, reading) == ""


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(prompts, st.data())
def test_a_word_left_out_changes_the_plan_or_its_accounts(
    prompt: tuple[str, str], data: st.DataObject
) -> None:
    reading = PLANNER.read(prompt[0])
    if not reading.steps:
        return
    words = read_words(prompt[0])
    at = data.draw(st.integers(0, len(words.words) - 1))
    if talk_ends(words.words, at, at + 1, sums=True) > at:
        return  # politeness and connectors may go
    without = prompt[0][: words.starts[at]] + prompt[0][words.ends[at] :]
    shorter = PLANNER.read(without)
    assert not shorter.steps or (shorter.steps, shorter.accounts) != (
        reading.steps,
        reading.accounts,
    )


def test_a_word_that_nothing_uses_refuses_the_plan() -> None:
    words = read_words("please show my gigantic list thanks")
    ledger = Ledger(words)
    ledger.use(1, 3, "asks for the list")
    ledger.use(4, 5, "asks for the list")
    ledger.talk(0, 6)
    assert ledger.missing() == [(3, 4)]


def test_the_words_without_effect_are_few_enough_to_be_read() -> None:
    entries = [entry for lines in ENTRIES.values() for entry in lines]
    assert len(entries) <= MOST_ENTRIES
    assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("word", NARROWING.split())
def test_no_word_that_changes_a_request_is_without_effect(word: str) -> None:
    assert talk_ends([word], 0, 1, sums=False) == 0
