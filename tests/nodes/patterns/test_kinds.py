"""The kinds of requests that were once misread, each with its neighbours.

A row is a prompt, with ⏎ for the end of a line, and its steps as `action: words`, or what a
refusal names. `=` is a calculation by its value.
"""

from fractions import Fraction
from typing import Any

import pytest

from graph.state import Step
from nodes.patterns.planner import PatternPlanner
from tools.calculator import calculate
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def said(step: Step) -> Any:
    """A step as the rows write it."""
    action = step["tool"].removeprefix("todo_store.")
    given = step["input"]
    if action == "calculator":
        if "{" in given["expression"]:
            return "= " + given["expression"]
        return Fraction(str(calculate(given["expression"])))
    if action == "add":
        return given["text"]
    if action == "list":
        return ("list", given) if given else "list"
    return (action, *given.values())


def plan(prompt: str) -> list[Any]:
    reading = PLANNER.read(prompt.replace("⏎", "\n"))
    assert reading.steps, [part["text"] for part in reading.unparsed]
    return [said(step) for step in reading.steps]


def refused(prompt: str) -> list[str]:
    reading = PLANNER.read(prompt.replace("⏎", "\n"))
    assert reading.steps == []
    return [part["text"] for part in reading.unparsed]


def rows(*given: tuple[str, Any]) -> Any:
    return pytest.mark.parametrize(("prompt", "expected"), given)


def prompts(*given: str) -> Any:
    return pytest.mark.parametrize("prompt", given)


OPEN = ("list", {"status": "open"})
ALL = "all"


@rows(
    ("add todo a⏎show my list", ["a", "list"]),
    ("show my list⏎what is 2 + 2", ["list", 4]),
    ("- add todo a⏎- add todo b⏎- show my list", ["a", "b", "list"]),
    ("1. add milk to my list⏎2. what is 3 * 4⏎3. show my list", ["milk", 12, "list"]),
    ("* complete todo 1⏎* delete todo 2", [("complete", "1"), ("delete", "2")]),
    ("add todo a⏎⏎add todo b⏎", ["a", "b"]),
    ("remind me to call Ann⏎todo: buy bread", ["call Ann", "buy bread"]),
    ("1) 2 + 2⏎2) 3 + 3", [4, 6]),
    ("• remove tea from my list⏎• add coffee to my list", [("delete", "tea"), "coffee"]),
    ("add todo a\r⏎show my list", ["a", "list"]),
)
def test_a_line_break_ends_a_request(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


def test_thirty_lines_are_thirty_requests() -> None:
    lines = [f"{mark}add a todo called item {n}" for mark in ("", "- ") for n in range(1, 16)]
    assert plan("\n".join(lines)) == [f"item {n}" for n in range(1, 16)] * 2


def test_one_line_not_understood_is_refused_alone() -> None:
    assert refused("add todo a⏎play some jazz⏎show my list") == ["play some jazz"]


@rows(
    ("Add these to my list:⏎- bread⏎- butter⏎- jam", ["bread", "butter", "jam"]),
    ("todo:⏎* wash car⏎* mow the lawn", ["wash car", "mow the lawn"]),
    ("add these todos: 1. milk 2. eggs 3. flour", ["milk", "eggs", "flour"]),
    ("add todos: call Ann, email Bob", ["call Ann", "email Bob"]),
    ('add "milk" and "eggs" as two todos', ["milk", "eggs"]),
    (
        "add these tasks: call Ann; email Bob, then Eve; rest",
        ["call Ann", "email Bob, then Eve", "rest"],
    ),
    (
        "my tasks:⏎1. show the list to Ann⏎2. delete photos",
        ["show the list to Ann", "delete photos"],
    ),
    ("new tasks:⏎☐ call Ann⏎☐ call Bob⏎⏎show my list", ["call Ann", "call Bob", "list"]),
    ("add the following to my list:⏎milk⏎eggs", ["milk", "eggs"]),
    ('add the todos "a, b" and "c"', ["a, b", "c"]),
    ("todos: milk, eggs and flour", ["milk", "eggs", "flour"]),
    ("add a todo: milk, eggs and flour", ["milk, eggs and flour"]),
    ("todo: milk, eggs", ["milk, eggs"]),
    ("add bread and butter to my list", ["bread and butter"]),
    ("add these todos:⏎- [ ] call Ann⏎- [ ] call Bob", ["call Ann", "call Bob"]),
    ("add two tasks: wash the car and mow the lawn", ["wash the car", "mow the lawn"]),
    ("add to my list:⏎- bread⏎- tea and milk", ["bread", "tea and milk"]),
    ("add todos: call Ann, email Bob, then show my list", ["call Ann", "email Bob", "list"]),
    ("put these on my list: bread, butter", ["bread", "butter"]),
    ('add "milk", "eggs" and "flour" to my list', ["milk", "eggs", "flour"]),
)
def test_a_list_is_one_todo_per_item(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@prompts(
    "can I delete todo 1?",
    "may I delete todo 1",
    "could I complete todo 1?",
    "can i remove milk from my list?",
    "should I mark todo 2 as done?",
    "may we add milk to my list",
    "could i rename todo 1 to tea",
    "can I clear my list?",
    "do i delete todo 1?",
    "is it ok if i delete todo 3",
    "am i allowed to delete todo 3",
    "what happens if i delete todo 1",
)
def test_a_question_is_not_carried_out(prompt: str) -> None:
    assert refused(prompt)


@rows(
    ("can you delete todo 1?", [("delete", "1")]),
    ("could you please complete todo 1?", [("complete", "1")]),
    ("can I see my list?", ["list"]),
    ("may i ask you to delete todo 1", [("delete", "1")]),
    ("can I have milk added to my list", ["milk"]),
    ("would you mark todo 2 as done", [("complete", "2")]),
)
def test_a_request_in_the_form_of_a_question_is_one(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@prompts(
    "show my todos from yesterday",
    "list todos due tomorrow",
    "show my first three todos",
    "show my work list",
    "add milk to my work list",
    "show my todos for next week",
    "list the last 2 tasks",
    "show my urgent tasks",
    "what are my overdue todos",
    "remove milk from my shopping list",
    "show todos about the garden",
    "show my todos containing milk",
    "list my tasks by date",
    "show me my high priority tasks",
    "list all tasks created last week",
    "which todos are due on friday",
    "show the tasks i added yesterday",
    "show my list sorted by name",
    "show my home list",
    "show my open todos for tomorrow",
)
def test_a_filter_that_no_tool_has_is_refused(prompt: str) -> None:
    assert refused(prompt)


@rows(
    ("show open and completed todos", ["list"]),
    ("show my done and open tasks", ["list"]),
    ("list completed tasks", [("list", {"status": "completed"})]),
    ("show my list and what is 2 + 2", ["list", 4]),
)
def test_both_halves_are_done(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@rows(
    ("show my list and say hello", ["say hello"]),
    ("show my list and sing a song", ["sing a song"]),
    ("what is 2 + 2 and tell me why", ["tell me why"]),
    ("add a todo to buy milk, and play some jazz", ["play some jazz"]),
    ("delete todo 1 and email it to Bob", ["email it to Bob"]),
)
def test_half_of_a_request_is_refused_with_its_words(prompt: str, expected: list[str]) -> None:
    assert refused(prompt) == expected


@prompts(
    "delete my 2 todos",
    "delete the last todos",
    "delete the last three todos",
    "complete both todos",
    "delete two todos",
    "mark 3 tasks as done",
    "delete some todos",
    "delete a few tasks",
    "complete half of my todos",
    "delete most of my tasks",
)
def test_a_number_of_todos_is_never_one(prompt: str) -> None:
    assert refused(prompt)


@rows(
    ("delete all my todos", [("delete", ALL)]),
    ("clear my list", [("delete", ALL)]),
    ("mark everything as done", [("complete", ALL)]),
    ("complete todos 1 and 3", [("complete", ["1", "3"])]),
    ("mark 1 and 2 as done", [("complete", ["1", "2"])]),
    ("complete the first two todos", [("complete", ["1", "2"])]),
    ("remove everything from my to-do list", [("delete", ALL)]),
    ("delete tasks 1, 2 and 4", [("delete", ["1", "2", "4"])]),
    ("please empty my to do list", [("delete", ALL)]),
    ("complete all tasks", [("complete", ALL)]),
    ("check off everything on my list", [("complete", ALL)]),
    ("delete every todo", [("delete", ALL)]),
    ("tick off the first and the third task", [("complete", ["1", "3"])]),
    ("mark all of my todos as completed", [("complete", ALL)]),
    ("wipe my list clean", [("delete", ALL)]),
    ("delete todo 1, todo 3", [("delete", ["1", "3"])]),
    ("remove items 2 and 3 from my list", [("delete", ["2", "3"])]),
    ("delete todos 1 to 3", [("delete", ["1", "2", "3"])]),
    ("complete the first and last todo", [("complete", ["1", "last"])]),
    ("delete the first 3 items from my list", [("delete", ["1", "2", "3"])]),
    ('delete the todo "all"', [("delete", ["all"])]),
    ("mark all done", [("complete", ALL)]),
    ('delete "milk" and "eggs" from my list', [("delete", ["milk", "eggs"])]),
    ("delete these todos:⏎- milk⏎- eggs", [("delete", ["milk", "eggs"])]),
)
def test_several_todos_are_one_step(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@prompts(
    "delete all my todos tomorrow",
    "delete all my emails",
    "mark all my messages as read",
    "delete everything",
    "clear all my completed shopping",
    "delete all but the first todo",
    "clear my list except milk",
    "complete todos 1 and milk",
    "delete all todos with milk",
    "mark everything as done except todo 2",
    "clear my calendar",
)
def test_a_set_that_no_tool_knows_is_refused(prompt: str) -> None:
    assert refused(prompt)


@rows(
    (
        "calculate 15% of 240 and add a todo to pay that amount",
        [36, "pay {step_1_output}"],
    ),
    ("what is 2 + 2 and add a todo with the result", [4, "{step_1_output}"]),
    ("what is 2 + 2, then add a todo containing it", [4, "{step_1_output}"]),
    ("what is 10 * 3 and add a task to pay it", [30, "pay {step_1_output}"]),
    ("compute 5 + 5 and add a todo: the answer and milk", [10, "{step_1_output} and milk"]),
    ("calculate 7 * 6 and add the result to my list", [42, "{step_1_output}"]),
    ("compute 9 + 1 and add pay that amount to my list", [10, "pay {step_1_output}"]),
    ("what is 20% of 50 and remind me to transfer that amount", [10, "transfer {step_1_output}"]),
    (
        "what is 3 * 3, add a todo to order the result from Bob",
        [9, "order {step_1_output} from Bob"],
    ),
    (
        "compute 8*8 and add a todo called answer",
        [64, "answer"],
    ),
    ("compute 8*8 and add a todo named total", [64, "total"]),
    ('compute 8*8 and add a todo "the result"', [64, "the result"]),
    ("compute 8*8 and add a todo called results review", [64, "results review"]),
    ("compute 2 + 2 and add a task titled sum", [4, "sum"]),
    ("what is 4 * 4 and create a todo named value", [16, "value"]),
)
def test_a_reference_is_the_value_and_a_name_is_a_name(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@rows(
    ("add todo .gitignore cleanup", [".gitignore cleanup"]),
    ("add a todo: -5 degrees check", ["-5 degrees check"]),
    ("add todo check task list", ["check task list"]),
    ("add a todo to say please", ["say please"]),
    ("remind me to say thanks", ["say thanks"]),
    ("add a todo to email ACME, Inc.", ["email ACME, Inc."]),
    ("add todo release v1.0.", ["release v1.0."]),
    ("add a todo to read https://a.example/c?d=e&f now", ["read https://a.example/c?d=e&f now"]),
    ("add ../a.txt to my list", ["../a.txt"]),
    ("add .. to my list", [".."]),
    ("add a todo: ./run.sh --all", ["./run.sh --all"]),
    ("add todo write to a.b@c.example. Then show my list", ["write to a.b@c.example", "list"]),
    ("add a todo: what is up?", ["what is up?"]),
    ("add todo ~/notes.md: sort", ["~/notes.md: sort"]),
    ("add a todo to buy milk please", ["buy milk"]),
    ("add a todo called v2.0 - draft", ["v2.0 - draft"]),
    ("add a todo: (maybe) call Ann!", ["(maybe) call Ann!"]),
    ("add todo pay $5.20 to J. R.", ["pay $5.20 to J. R."]),
    ("add todo 50% off at www.shop.example/?a=1", ["50% off at www.shop.example/?a=1"]),
)
def test_the_words_stay_to_the_letter(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@rows(
    ("add a todo bar item 3a", ["bar item 3a"]),
    ("add a todo: thanks", ["thanks"]),
    ("add a todo: show all my tasks", ["show all my tasks"]),
    ("add a todo to call Ann and email Bob", ["call Ann and email Bob"]),
    ("add a todo to buy 3 items: eggs, milk, bread", ["buy 3 items: eggs, milk, bread"]),
    ("todo foo", ["foo"]),
    (
        "add a task: finish report, then calculate the budget",
        ["finish report, then calculate the budget"],
    ),
    ("add an urgent todo: taxes", ["urgent: taxes"]),
    ("remind me tomorrow at 9am to call the dentist", ["call the dentist tomorrow at 9am"]),
    ("new task: delete the old account", ["delete the old account"]),
    ("create a to-do called mark all as done", ["mark all as done"]),
    (
        "add a todo to order a book and return it, then show my list",
        ["order a book and return it", "list"],
    ),
    ("todo: 2 + 2", ["2 + 2"]),
    ("Add a new task to check my email settings", ["check my email settings"]),
    ("remind me to buy milk in 10 minutes", ["buy milk in 10 minutes"]),
    ("add a todo: is the door closed?", ["is the door closed?"]),
    ("create a task named please", ["please"]),
    ("add a todo for the 5pm meeting", ["the 5pm meeting"]),
    ("could you add a high priority task: renew passport", ["high priority: renew passport"]),
    ("add a todo to my list: call Bob", ["call Bob"]),
)
def test_after_an_explicit_opening_the_rest_is_the_item(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


def test_the_reasoning_says_that_nothing_rings() -> None:
    for prompt in ("remind me tomorrow at 9am to call Ann", "add a todo to call Ann at 5 pm"):
        [step] = PLANNER.read(prompt).steps
        assert "ring" in step["reasoning"]
    [step] = PLANNER.read("add a todo to call Ann").steps
    assert "ring" not in step["reasoning"]


@rows(
    ("delete todo -1", [("delete", "-1")]),
    ("complete todo -1", [("complete", "-1")]),
    ("mark task -2 as done", [("complete", "-2")]),
    ("show todo -3", [("get", "-3")]),
    ("remove item -1 from my list", [("delete", "-1")]),
    ("delete todo number -4", [("delete", "-4")]),
    ("rename todo -1 to tea", [("update", "-1", "tea")]),
)
def test_a_minus_before_a_place_stays(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@rows(
    ("the square of 3 plus the square of 4", 25),
    ("the square root of 16 plus the square root of 9", 7),
    ("the cube of 2 minus the cube of 1", 7),
    ("half of 10 plus half of 6", 8),
    ("double 4 plus double 5", 18),
    ("the sum of 1 and 2 plus the sum of 3 and 4", 10),
    ("the product of 2 and 3 plus the product of 4 and 5", 26),
    ("the product of 2 and 3 minus the difference of 5 and 1", 2),
    ("5 plus half of 10", 10),
    ("7 minus the square root of 9", 4),
    ("3 plus twice 4", 11),
    ("10 plus a quarter of 8", 12),
    ("the square of 2 plus the square of 3 plus the square of 4", 29),
    ("what is 2 + the square of 3", 11),
)
def test_operations_side_by_side_are_one_calculation(prompt: str, expected: int) -> None:
    assert plan(prompt) == [expected]


@rows(
    ("the square of minus three", 9),
    ("the cube of minus two", -8),
    ("the cube root of 64", 4),
    ("square -5", 25),
    ("the cube root of 27 plus 1", 4),
    ("the square of negative 4", 16),
)
def test_an_operand_before_a_power_keeps_its_sign(prompt: str, expected: int) -> None:
    assert plan(prompt) == [expected]


@prompts(
    "the square root of minus four",
    "square root of -9",
    "what is the root of negative 16",
    "sqrt -1",
    "the square root of minus 2 plus 1",
)
def test_a_root_of_a_negative_number_is_refused(prompt: str) -> None:
    assert refused(prompt)


@prompts(
    "0x10 + 1",
    "2026-11-28",
    "what is one million",
    "0b101",
    "3/9/2015",
    "555-210-3344",
    "555-1234",
    "what is 7",
    "12/24/1999",
    "complete todo14",
    "delete task3",
    "1-800-555-0199",
    "10:30 + 1",
    "192.168.0.1",
    "28.11.2026",
    "call 030 123-4567",
    "2026-11-28 + 1",
)
def test_what_names_something_is_no_number(prompt: str) -> None:
    assert refused(prompt)


@rows(
    ("eight hundred and three tenths + 1", "801.3"),
    ("0 plus 2 and 1/4", "2.25"),
    ("three million and a half plus 1", 3500001),
    ("two million and three quarters plus 0", 2750000),
    ("eight hundred and a half plus 0", "800.5"),
    ("3 1/2 + 1", "4.5"),
    ("two and a fourth plus 1", "3.25"),
    ("1 + one and three quarters", "2.75"),
    ("2E3*1.5", 3000),
    ("4 hundred and 12 plus 1", 413),
    ("three thousand, two hundred and five plus 1", 3206),
    ("15 multiplied 4", 60),
    ("ninety point 125 + 0", "90.125"),
    ("half a dozen plus 3 dozens", 42),
    ("forty two and a third minus a third", 42),
    ("five and a half million plus 1", 5500001),
    ("1e3 + 5", 1005),
    ("50 + 10%", 55),
    ("200 - 50%", 100),
    ("increase 200 by 15%", 230),
    ("decrease 80 by 25 percent", 60),
    ("add 20% to 50", 60),
    ("take 20% off 50", 40),
    ("the average of 3, 4 and 8", 5),
    ("average 10 and 20", 15),
    ("2(3+4)", 14),
    ("(1 + 2)(3 + 4)", 21),
    ("17 divided by 5 remainder", 2),
    ("the remainder of 17 divided by 5", 2),
    ("split 87.50 between 4 people", "21.875"),
    ("tip 18% on 64.20", "11.556"),
    ("what is an 18% tip on 64.20", "11.556"),
    ("100 + 10% - 10", 100),
    ("twelve hundred plus 1", 1201),
)
def test_numbers_and_percentages_are_read_whole(prompt: str, expected: Any) -> None:
    assert plan(prompt) == [Fraction(expected)]


@prompts(
    "50 + 10 kg",
    "5 dollars in euros",
    "8 / 2(2 + 2)",
    "increase 80 by a quarter",
    "10% + 5",
    "the average of 5",
    "twenty hundred plus 1",
    "2 miles plus 3 km",
)
def test_units_and_two_readings_are_refused(prompt: str) -> None:
    assert refused(prompt)


@rows(
    (
        "compute 2+2, compute 3*3, multiply the first result by the second",
        "= ({step_1_output}) * ({step_2_output})",
    ),
    (
        "what is 1 + 1 and then 2 + 2 and then add both results",
        "= ({step_1_output}) + ({step_2_output})",
    ),
    (
        "what is 8 / 2, what is 3 + 4, then subtract the first result from the second result",
        "= ({step_2_output}) - ({step_1_output})",
    ),
)
def test_earlier_results_are_meant_by_their_place(prompt: str, expected: str) -> None:
    assert plan(prompt)[-1] == expected


@rows(
    ("I want you show me what's on my list", ["list"]),
    ("set task 4 to call Ann", [("update", "4", "call Ann")]),
    ("I need you tell me what's on the to-do list", ["list"]),
    ("change todo 2 to buy tea", [("update", "2", "buy tea")]),
    ("set the second task to call Ann", [("update", "2", "call Ann")]),
    ("tick off bread on my list as done", [("complete", "bread")]),
    ("cross off bread from my list please", [("complete", "bread")]),
    ("check off buy milk on my to-do list as completed", [("complete", "buy milk")]),
    ("delete to do buy milk", [("delete", "buy milk")]),
    (
        "mark the task reserve a table for tomorrow as finished",
        [("complete", "reserve a table for tomorrow")],
    ),
    ("the task buy bread has been done", [("complete", "buy bread")]),
)
def test_a_sentence_is_not_taken_for_an_addition(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@prompts(
    "mark my list as finished",
    "add three items to my list",
    "set my list as done",
    "put two things on my list",
    "I don't want the to-do list anymore",
    "add some tasks to my list",
    "add a few things to my list",
    "make my list shorter",
    "put my list in order",
)
def test_what_names_no_item_adds_nothing(prompt: str) -> None:
    assert refused(prompt)


@rows(
    ("how many todos do I have", [("list", {"show": "count"})]),
    ("count my tasks", [("list", {"show": "count"})]),
    ("how many open tasks are on my list?", [("list", {"status": "open", "show": "count"})]),
    ("is milk on my list", [("list", {"show": "exists", "text": "milk"})]),
    ("do i have call Ann on my to-do list?", [("list", {"show": "exists", "text": "call Ann"})]),
    ("how many tasks have I completed", [("list", {"status": "completed", "show": "count"})]),
    ("count the items on my list", [("list", {"show": "count"})]),
)
def test_how_many_and_whether_are_answered(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected


@rows(
    ("sh\u200bow my li\u2060st", ["list"]),
    ("what\N{RIGHT SINGLE QUOTATION MARK}s on my list", ["list"]),
    ("\ufeffadd a todo: call \u0130rem", ["call \u0130rem"]),
    ("add \N{LEFT DOUBLE QUOTATION MARK}milk\N{RIGHT DOUBLE QUOTATION MARK} to my list", ["milk"]),
    ("add a todo: fix it \U0001f600", ["fix it \U0001f600"]),
    ("2\u00a0+\u00a02", [4]),
)
def test_unusual_signs_change_nothing(prompt: str, expected: list[Any]) -> None:
    assert plan(prompt) == expected
