"""One request in many wordings: talk around it, asides beside it, slips of the keyboard in it."""

from fractions import Fraction
from typing import Any

import pytest

from nodes.patterns.grammar.words import KEYWORDS, MISSPELLINGS, REAL_WORDS, correct, read_words
from nodes.patterns.planner import InvalidPhrase, PatternPlanner
from tools.calculator import calculate
from tools.loading import BUILTIN
from tools.registry import InvalidTool, make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def plan(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """Operations and inputs of a prompt that has to be understood."""
    reading = PLANNER.read(prompt)
    assert reading.unparsed == []
    return [(step["tool"].removeprefix("todo_store."), step["input"]) for step in reading.steps]


def value(prompt: str) -> Fraction:
    """The value of a prompt that has to be one calculation."""
    [(tool, given)] = plan(prompt)
    assert tool == "calculator"
    return Fraction(str(calculate(given["expression"])))


@pytest.mark.parametrize(
    "prompt",
    [
        "I'd like to know how much 12 plus 17 is.",
        "hi there, how much is twelve plus seventeen",
        "can you do some math for me, what's 12 plus 17",
        "use the calculator to get 12 plus 17",
        "what would i get if i added 12 to 17",
        "my kid asks me: what is 12 plus 17?",
        "do you happen to know what 12 plus 17 equals",
        "the sum of 12 and 17 is what",
    ],
)
def test_talk_around_a_calculation_changes_nothing(prompt: str) -> None:
    assert value(prompt) == 29


@pytest.mark.parametrize(
    "prompt",
    [
        "what is 12 plus 17 tickets",
        "what time is 12 plus 17",
        "how much is 12 plus 17 euros",
        "what is the reminder of 17 December",
        "round 17 divided by 12 to two places",
        "who won 12 - 17",
        "call 555-1234",
        "my number is 555-1234",
        "is 17 more than 12",
        "when is 10 - 12",
        "the product of 12 plus 17",
    ],
)
def test_one_word_that_is_no_talk_makes_it_another_question(prompt: str) -> None:
    assert PLANNER.read(prompt).steps == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("what's the result if 66 is divided by 6", 11),
        ("what would i get if i subtracted 25 from 18", -7),
        ("put 48 and 52 together, what does it make", 100),
        ("what number is 8 more than 45", 53),
        ("what would 12 and 17 be if you added them together", 29),
        ("sixteen split by four", 4),
        ("minus 5 from 12", 7),
        ("9 doubled", 18),
        ("take five and divide it by two", "2.5"),
        ("2 plus 4 divided by 2", 4),
        ("two raised to the tenth power", 1024),
        ("a quarter plus a quarter", "0.5"),
        ("hundred plus five", 105),
        ("7 and a quarter times 2", "14.5"),
    ],
)
def test_operations_in_other_forms_of_the_verb(prompt: str, expected: int | str) -> None:
    assert value(prompt) == Fraction(expected)


@pytest.mark.parametrize("prompt", ["-8 + 5", "minus eight plus five", "hey - what is -8 + 5"])
def test_a_leading_minus_is_a_sign_and_no_bullet(prompt: str) -> None:
    assert value(prompt) == -3


@pytest.mark.parametrize("prompt", ["subtract 3 plus 4", "multiply 2 + 3", "divide 8 - 2"])
def test_an_operation_without_its_second_operand_is_refused(prompt: str) -> None:
    assert PLANNER.read(prompt).steps == []


@pytest.mark.parametrize(
    "prompt",
    [
        "what's five plus three, i forget",
        "5 plus 3, what does that make?",
        "check my list and tell me if tea is on it",
        "grab my to do list and read it to me",
        "i have to call Bob, so add call Bob to my list",
        "i don't need to iron any more so take iron off my list",
        "check ironing off the list, it's done",
        "am i supposed to call Bob? check my to do list",
    ],
)
def test_echoes_and_reasons_are_no_requests_of_their_own(prompt: str) -> None:
    assert len(plan(prompt)) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "i have to call Bob, add eggs to my list",
        "what's five plus three and tell me why",
        "check my list and tell me the weather",
        "i finished ironing, play some music",
        "tell me",
        "can you do some math for me",
    ],
)
def test_what_asks_for_more_than_its_neighbour_is_not_passed_over(prompt: str) -> None:
    assert PLANNER.read(prompt).steps == []


@pytest.mark.parametrize(
    "prompt",
    [
        "would you mind telling me what's on my to do list",
        "what am i going to be doing today according to my to do list",
        "which errands are on my list today",
        "is my to do list empty",
        "am i supposed to wash the windows according to my list",
        "am i right that the cake is on my to do list?",
        "let me hear the list one more time",
        "count the items on my todolist",
    ],
)
def test_every_question_about_the_list_is_answered_with_it(prompt: str) -> None:
    assert [operation for operation, _ in plan(prompt)] == ["list"]


def test_what_is_not_done_is_what_is_open() -> None:
    assert plan("which of my tasks are not done") == [("list", {"status": "open"})]


@pytest.mark.parametrize(
    "prompt",
    [
        "how can i add to my list",
        "what should i do with my list",
        "which movies are on my list",
        "do not show my list",
        "empty my calendar",
        "i don't want to add milk to my list",
        "check off my location settings",
        "remove the task bar",
    ],
)
def test_words_of_the_list_alone_make_no_request(prompt: str) -> None:
    assert PLANNER.read(prompt).steps == []


@pytest.mark.parametrize(
    ("prompt", "operation", "words"),
    [
        ("pencil Call Mum in on my to do list", "add", {"text": "Call Mum"}),
        ("can Call Mum be added to my list", "add", {"text": "Call Mum"}),
        ("there's no need for it anymore, remove tea from my list", "delete", {"todo": "tea"}),
        ("delete the laundry task", "delete", {"todo": "laundry"}),
        ("laundry is done, check it off", "complete", {"todo": "laundry"}),
        ("just finished laundry, cross that off my list", "complete", {"todo": "laundry"}),
        ("add tea to my list real quick", "add", {"text": "tea"}),
    ],
)
def test_the_item_is_the_same_in_every_frame(
    prompt: str, operation: str, words: dict[str, str]
) -> None:
    assert plan(prompt) == [(operation, words)]


def test_it_is_the_list_after_a_preposition() -> None:
    assert plan("show my list and delete gym from it")[1] == ("delete", {"todo": "gym"})


@pytest.mark.parametrize(
    "request_of_another_tool",
    ["play some jazz", "set an alarm", "tell me the weather", "turn the heat up", "wake me at 7"],
)
def test_a_request_for_another_tool_is_never_swallowed_by_an_item(
    request_of_another_tool: str,
) -> None:
    reading = PLANNER.read(f"add a todo to buy milk and {request_of_another_tool}")
    assert [part["text"] for part in reading.unparsed] == [request_of_another_tool]


def test_a_chore_after_a_chore_is_part_of_the_item() -> None:
    assert plan("add a todo to buy milk and wash windshield") == [
        ("add", {"text": "buy milk and wash windshield"})
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("waht is 5 plsu 3", ("calculator", {"expression": "5 + 3"})),
        ("devide thrity by 5", ("calculator", {"expression": "30 / 5"})),
        ("shwo me my tood list", ("list", {})),
        ("remvoe Lsit of plsu sizes from my lsit", ("delete", {"todo": "Lsit of plsu sizes"})),
    ],
)
def test_slips_are_read_as_meant_and_kept_as_written(
    prompt: str, expected: tuple[str, dict[str, str]]
) -> None:
    assert plan(prompt) == [expected]


def test_a_word_that_exists_is_no_slip() -> None:
    assert correct(read_words("the last lint is lost")) is None
    assert REAL_WORDS.isdisjoint(KEYWORDS)
    assert set(MISSPELLINGS).isdisjoint(KEYWORDS)


def test_what_is_understood_is_not_corrected() -> None:
    assert plan("add lsit to my list") == [("add", {"text": "lsit"})]


def test_a_bad_phrase_is_a_bad_tool() -> None:
    assert issubclass(InvalidPhrase, InvalidTool)
