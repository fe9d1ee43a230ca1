"""How complex a task is: judged by its words alone, the same every time, and with the reason."""

import json
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.planning.model import THRESHOLD, ModelLadder, complexity
from tests.support.models.scripted_models import ScriptedModel
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import Tool

TOOLS = make_tools(BUILTIN)

#: Prompt, and why it is of its class.
SIMPLE = {
    "add milk to my list": "one action",
    "What is 15% of 240?": "one calculation",
    "2 + 2": "no words at all",
    "show me all my todos": "one question",
    "mark the first one as done": "one action, one place",
    "Please could you add a todo to buy bread and butter for the weekend?": "one polite action",
    "remember to call mom, then show my list": "two actions in order",
    "calculate 12 * 12, and then add 6 to it": "two actions, one reference",
    "add milk, add bread and add eggs": "three actions that know nothing of each other",
    "delete todo 3; show the list": "two actions, a semicolon",
    "what's five times (three plus two)": "one calculation in words",
    "Change the second to-do to 'call the bank' and show it to me": "two actions, one reference",
}
COMPLEX = {
    "First add a todo to buy milk, then compute 3 * 4, put the result on the list as well, and"
    " finally list everything": "four actions, in order, with a result that is used",
    "If I have more than three open todos, complete the first one, otherwise add a todo to plan"
    " the week": "a condition with two ways",
    "Calculate 15% of 240, add a todo to pay that amount, then check whether the list has it and"
    " show the total": "results of results",
    "Add milk; add bread; add eggs; complete the first; delete the second; then show my list": (
        "six actions"
    ),
    "Check each todo and, unless it is about work, mark it as done": "a loop with an exception",
    "Multiply 3 by 4, divide the result by 2, subtract 1 from that and put it on my list": (
        "a chain of results"
    ),
    "Find the todo about the dentist, change its text to the answer of 7 * 8, then complete it and"
    " show me the list afterwards": "a search, and a result in a change",
    "Depending on whether the sum of 2 and 3 is odd, add a todo 'odd' or 'even'": "a condition",
    "Compare 2 ** 10 with 10 ** 3, remember the larger one, then delete the first todo and list"
    " those that are open": "four actions and a comparison",
    "When the list is empty, add 'rest'; else complete the first": "two conditions",
    "I moved last week and everything is upside down, so please put the following on my list:"
    " unpack the kitchen, call the landlord about the boiler, find the box with the winter"
    " clothes, return the van, write to the insurance, then tell me how many that makes and what"
    " 35 times 12 is, since this is what the boxes have cost me": "a long text with many actions",
}


def score(prompt: str, tools: Mapping[str, Tool] = TOOLS) -> float:
    return complexity(prompt, tools)[0]


@pytest.mark.parametrize("prompt", SIMPLE, ids=list(SIMPLE.values()))
def test_simple(prompt: str) -> None:
    assert score(prompt) < THRESHOLD, complexity(prompt, TOOLS)


@pytest.mark.parametrize("prompt", COMPLEX, ids=list(COMPLEX.values()))
def test_complex(prompt: str) -> None:
    assert score(prompt) >= THRESHOLD, complexity(prompt, TOOLS)


def test_the_score_is_told_with_what_it_is_made_of() -> None:
    """It goes into the record, so it is plain data."""
    judged = complexity("Add milk; then, if it is late, show everything", TOOLS)

    assert judged == (
        5.0,
        {"actions": 2, "connectors": 2, "references": 1, "conditions": 1, "words": 9, "tools": 7},
    )
    assert json.loads(json.dumps(judged)) == list(judged)


def test_case_and_punctuation_do_not_count() -> None:
    assert complexity("ADD milk, THEN show it!", TOOLS) == complexity(
        "add milk then show it", TOOLS
    )


def test_a_part_of_a_word_is_not_the_word() -> None:
    _, features = complexity("address additional showers, itself and gift-wrapping", TOOLS)

    assert (features["actions"], features["references"], features["conditions"]) == (0, 0, 0)


def test_more_tools_to_choose_from_are_harder() -> None:
    many = {f"{name}{copy}": tool for copy in range(20) for name, tool in TOOLS.items()}

    assert score("add milk", many) > score("add milk")


@given(st.text(), st.text())
def test_more_text_is_never_simpler(prompt: str, more: str) -> None:
    assert score(f"{prompt} {more}") >= max(score(prompt), score(more))


@given(st.lists(st.sampled_from(["add", "then", "it", "if", "milk", ";", "12"])), st.randoms())
def test_the_order_of_words_does_not_matter(words: list[str], order: random.Random) -> None:
    shuffled = words[:]
    order.shuffle(shuffled)

    assert complexity(" ".join(shuffled), TOOLS) == complexity(" ".join(words), TOOLS)


@given(st.text())
def test_any_text_has_a_score(prompt: str) -> None:
    assert score(prompt) >= 0
    assert complexity(prompt, TOOLS) == complexity(prompt, TOOLS)


class Silent:
    """A breaker that is never asked."""


@pytest.mark.parametrize(
    ("complex_model", "judged", "queue"),
    [
        ("big", 5.0, ["big", "small", "local"]),
        ("big", 4.5, ["small", "local"]),
        ("local", 9.0, ["local", "small"]),
        ("local", 1.0, ["small", "local"]),
        (None, 9.0, ["small", "local"]),
    ],
)
def test_a_complex_task_asks_the_complex_model_first(
    complex_model: str | None, judged: float, queue: list[str]
) -> None:
    """And then the list, each model once."""
    models = {name: ScriptedModel(name, []) for name in ("small", "local", "big")}
    ladder = ModelLadder(
        models=models,
        order=["small", "local"],
        breaker=Silent(),  # type: ignore[arg-type]
        complex_model=complex_model,
        threshold=5.0,
    )

    assert ladder.queue(judged) == queue
