"""What the pattern planner plans for the sentences that people start with."""

from typing import Any

import pytest

from nodes.patterns.accounts import Reading
from nodes.patterns.planner import PatternPlanner
from tools.calculator import calculate
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def plan(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """Tools and inputs of a prompt that has to be understood."""
    reading = PLANNER.read(prompt)
    assert reading.unparsed == []
    return [(step["tool"], step["input"]) for step in reading.steps]


def refused(prompt: str) -> list[str]:
    """The words that were not understood, of a prompt that has to be refused."""
    reading = PLANNER.read(prompt)
    assert reading.steps == []
    assert reading.unparsed
    assert reading.examples
    return [part["text"] for part in reading.unparsed]


def add(text: str) -> tuple[str, dict[str, str]]:
    return ("todo_store.add", {"text": text})


LIST: tuple[str, dict[str, str]] = ("todo_store.list", {})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Add a todo to buy milk, then show me all my tasks", [add("buy milk"), LIST]),
        ("add todo salt and pepper", [add("salt and pepper")]),
        ("create a todo to call Bob and Alice", [add("call Bob and Alice")]),
        ("Add todo: Call Mom, then list todos", [add("Call Mom"), LIST]),
        ("add 3 tasks: eggs, bread, and butter", [add("eggs"), add("bread"), add("butter")]),
        (
            "mark buy milk as done and show my list",
            [("todo_store.complete", {"todo": "buy milk"}), LIST],
        ),
        ("add a task to calculate taxes", [add("calculate taxes")]),
        (
            "Calculate 42 * 8 and add result as a task",
            [("calculator", {"expression": "42 * 8"}), add("{step_1_output}")],
        ),
        (
            "calculate 10 + 5, and then multiply it by 3",
            [
                ("calculator", {"expression": "10 + 5"}),
                ("calculator", {"expression": "({step_1_output}) * 3"}),
            ],
        ),
        ("calculate 10 / 0", [("calculator", {"expression": "10 / 0"})]),
    ],
)
def test_first_sentences(prompt: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert plan(prompt) == expected


def test_a_prompt_is_refused_whole_and_names_the_clause() -> None:
    prompt = "what's the capital of France, and add a todo to visit it"
    assert refused(prompt) == ["what's the capital of France"]


def test_every_clause_not_understood_is_named() -> None:
    assert refused("play some jazz; add milk to my list; what's the weather?") == [
        "play some jazz",
        "what's the weather",
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "Please add buy milk to my to-do list, then what is 2 + 2?",
        "hey, can you add 3 tasks: eggs, bread, and butter; show my list",
        "add tea to my list. Also, what's 3 times 4",
    ],
)
def test_spans_point_at_the_words_of_each_step(prompt: str) -> None:
    steps = PLANNER.read(prompt).steps
    spans = [step["span"] for step in steps]
    assert len(steps) >= 2
    for step, span in zip(steps, spans, strict=True):
        assert span is not None
        words = prompt[span[0] : span[1]]
        assert words == words.strip(" ,;.")
        if step["tool"] == "todo_store.add":
            assert step["input"]["text"] in words
    assert spans == sorted(spans)  # type: ignore[type-var]  # asserted above to be no None


def test_steps_are_numbered_from_one_and_say_why() -> None:
    steps = PLANNER.read("show my list and then add tea to my list").steps
    assert [step["step"] for step in steps] == [1, 2]
    assert all(step["reasoning"] for step in steps)


def test_the_words_not_understood_carry_their_span() -> None:
    prompt = "  tell me a joke, and show my list"
    [part] = PLANNER.read(prompt).unparsed
    start, end = part["span"]
    assert prompt[start:end] == part["text"] == "tell me a joke"


@pytest.mark.parametrize("prompt", ["", "   ", "\n\n", "?!", "…", "and then", "please"])
def test_a_prompt_without_a_request_is_refused(prompt: str) -> None:
    reading = PLANNER.read(prompt)
    assert reading.steps == []
    assert len(reading.unparsed) == 1


def test_only_tools_that_exist_are_planned_and_shown_as_examples() -> None:
    planner = PatternPlanner(make_tools(BUILTIN[:1]))
    assert planner.read("2 + 2").steps
    reading = planner.read("show my list")
    assert reading.steps == []
    assert reading.examples[0] == "what is 15% of 200"
    assert all(planner.read(example).steps for example in reading.examples)


def test_a_refusal_gives_two_or_three_examples_that_are_understood() -> None:
    examples = PLANNER.read("sing").examples
    assert 2 <= len(examples) <= 3
    assert all(PLANNER.read(example).steps for example in examples)


def test_reading_twice_gives_the_same() -> None:
    prompt = "add tea to my list, then show my list, then sing"
    first: Reading = PLANNER.read(prompt)
    assert PLANNER.read(prompt) == first


@pytest.mark.parametrize(
    "prompt",
    [
        "what's the weather like",
        "remind me of the milk at 5",
        "add lunch with Bob to my calendar",
        "add milk to my shopping list",
        "add milk",
        "delete everything on my shopping list",
        "delete my to-do list",
        "don't add milk to my list",
        "how do i add milk to my list",
        "complete my order",
        "mark this email as read",
        "5 miles in km",
        "what is the date 3 days from now",
        "Tom has 5 apples and eats 3, how many are left",
        "call 555-1234 for me",
        "add something to my list",
        "add it to my list",
        "the first one",
        "what tasks can you complete for me",
        "give me a list of things to do in Orlando",
    ],
)
def test_what_no_tool_fits_is_refused(prompt: str) -> None:
    refused(prompt)


def test_a_calculation_that_fails_is_still_planned() -> None:
    """Division by zero is for the calculator to explain."""
    [(_, given)] = plan("what is 1 divided by zero")
    assert given == {"expression": "1 / 0"}


def test_percentages_are_exact() -> None:
    [(_, given)] = plan("Calculate 15% of 200")
    assert calculate(given["expression"]) == 30
