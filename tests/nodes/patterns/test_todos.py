"""To-dos as people ask for them."""

from typing import Any

import pytest

from benchmarks.planner.plans import short_form
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def plan(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """Operations and inputs of a prompt that has to be understood."""
    reading = PLANNER.read(prompt)
    assert reading.unparsed == []
    return [(step["tool"].removeprefix("todo_store."), step["input"]) for step in reading.steps]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("put mopping on my list", "mopping"),
        ("please add Paying Bills to my to-do list for today", "Paying Bills"),
        ("on my spring cleaning to do list put windows", "windows"),
        ("add to my list of things to do: wash the dog", "wash the dog"),
        ("i need laundry put on my list of tasks to complete", "laundry"),
        ("I have to walk the dog, so put it on my list", "walk the dog"),
        ("my to do list needs to include dishes", "dishes"),
        ("update my to do list to include dishes", "dishes"),
        ("remind me to buy milk", "buy milk"),
        ("todo: buy milk", "buy milk"),
        ("add bread and butter to my chores", "bread and butter"),
        ("add wash the car and show it to Bob to my list", "wash the car and show it to Bob"),
        ('add "call Bob, then Alice" to my list', "call Bob, then Alice"),
        ("add todo: meet Dr. Smith at 5.30, room B-2", "meet Dr. Smith at 5.30, room B-2"),
        ("add buy milk as a todo please", "buy milk"),
    ],
)
def test_items_are_added_in_their_own_words(prompt: str, text: str) -> None:
    assert plan(prompt) == [("add", {"text": text})]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("add 3 tasks: eggs, bread, and butter", ["eggs", "bread", "butter"]),
        ("add two todos: eggs and bread", ["eggs", "bread"]),
        ("create tasks: eggs, bread and butter", ["eggs", "bread", "butter"]),
        ("add 2 tasks: bread and butter, and milk", ["bread and butter", "milk"]),
        ("add the following to my list: eggs, bread", ["eggs", "bread"]),
    ],
)
def test_an_enumeration_is_several_items(prompt: str, texts: list[str]) -> None:
    assert plan(prompt) == [("add", {"text": text}) for text in texts]


def test_a_wrong_count_of_items_is_refused() -> None:
    assert PLANNER.read("add 3 tasks: eggs and bread").steps == []


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        ("show me all my tasks", {}),
        ("what's on my to do list", {}),
        ("read my list of things to do for today out loud please", {}),
        ("my list please", {}),
        ("how many items are on my list?", {"show": "count"}),
        ("I wonder what my to-do list looks like", {}),
        ("is cleaning the kitchen on my list", {"show": "exists", "text": "cleaning the kitchen"}),
        ("did i put tea on my todo list", {"show": "exists", "text": "tea"}),
        ("show my open tasks", {"status": "open"}),
        ("what is left on my list", {"status": "open"}),
        ("list completed todos", {"status": "completed"}),
        ("read my complete list", {}),
    ],
)
def test_the_list_is_shown(prompt: str, given: dict[str, str]) -> None:
    assert plan(prompt) == [("list", given)]


@pytest.mark.parametrize(
    ("prompt", "operation", "todo"),
    [
        ("take shoveling the car off my list", "delete", "shoveling the car"),
        ("please remove science fair from my to do list", "delete", "science fair"),
        ("delete the task called dishes", "delete", "dishes"),
        ("i no longer need dishes on my list", "delete", "dishes"),
        ("delete the last item on my list", "delete", "last"),
        ("delete todo 2", "delete", "2"),
        ("remove number three from my list", "delete", "3"),
        ("cross dishes off my list", "complete", "dishes"),
        ("check off dishes", "complete", "dishes"),
        ("mark the first one as done", "complete", "1"),
        ("mark #2 as done", "complete", "2"),
        ("mark the 3rd task complete", "complete", "3"),
        ("i'm done with dishes, check it off my list", "complete", "dishes"),
        ("complete the task buy milk", "complete", "buy milk"),
        ("show me todo 2", "get", "2"),
    ],
)
def test_a_todo_is_meant_by_words_or_place(prompt: str, operation: str, todo: str) -> None:
    assert plan(prompt) == [(operation, {"todo": todo})]


@pytest.mark.parametrize(
    ("prompt", "todo", "text"),
    [
        ("rename buy milk to buy oat milk", "buy milk", "buy oat milk"),
        ("change the task buy milk to buy oat milk", "buy milk", "buy oat milk"),
        ("update todo 1 to say Walk the Cat", "1", "Walk the Cat"),
        ("change dishes to laundry on my list", "dishes", "laundry"),
        ("replace dishes with laundry on my list", "dishes", "laundry"),
    ],
)
def test_a_todo_is_reworded(prompt: str, todo: str, text: str) -> None:
    assert plan(prompt) == [("update", {"todo": todo, "text": text})]


def test_it_is_the_todo_that_was_just_added() -> None:
    assert plan("add a todo to buy milk and mark it as done") == [
        ("add", {"text": "buy milk"}),
        ("complete", {"todo": "{step_1_output.id}"}),
    ]


def test_a_deleted_todo_is_not_referred_to() -> None:
    assert PLANNER.read("delete todo 1 and then rename it to tea").steps == []


def test_the_verb_alone_is_enough_after_a_clause_about_the_list() -> None:
    assert plan("remove tea from my list and add coffee") == [
        ("delete", {"todo": "tea"}),
        ("add", {"text": "coffee"}),
    ]


def test_a_result_is_added_by_reference_only_where_there_is_one() -> None:
    assert plan("what is 2 + 2 and add it to my list")[1] == ("add", {"text": "{step_1_output}"})
    assert PLANNER.read("show my list and add the result as a task").steps == []


def test_braces_in_the_users_words_are_no_references() -> None:
    assert plan("add todo print {step_1_output} and {x}") == [
        ("add", {"text": "print {{step_1_output}} and {{x}}"})
    ]
    assert plan("mark {name} as done") == [("complete", {"todo": "{{name}}"})]


def test_a_request_after_a_request_is_never_part_of_an_item() -> None:
    reading = PLANNER.read("add a todo to call Bob, and tell me the weather")
    assert reading.steps == []
    assert [part["text"] for part in reading.unparsed] == ["tell me the weather"]


def test_a_request_before_a_request_is_never_part_of_an_item() -> None:
    reading = PLANNER.read("delete my alarm and put milk on my list")
    assert reading.steps == []
    assert [part["text"] for part in reading.unparsed] == ["delete my alarm"]


@pytest.mark.parametrize(
    ("prompt", "plan"),
    [
        ("task 2 should be done", 'complete "2"'),
        ("change task 1 to done", 'complete "1"'),
        ("change task 1 to finished", 'complete "1"'),
        ('todo 2 should be "buy bread"', 'update "2" to "buy bread"'),
        ("task 2 should say buy bread", 'update "2" to "buy bread"'),
        ("task 2 should be deleted", None),
        ("task 2 should be first", None),
        ("change task 1 to deleted", None),
        ("rename tea to done", None),
        ("change the text of tea to done", None),
    ],
)
def test_a_state_is_never_the_new_text_of_a_todo(prompt: str, plan: str | None) -> None:
    steps = PatternPlanner(make_tools(BUILTIN)).read(prompt).steps
    assert (short_form(steps) if steps else None) == plan
