"""Plans in short form: what our own prompts and the documentation say is read as it is meant."""

import pytest

from benchmarks.planner.plans import Verdict, read_plans, short_form
from graph.state import Step


def steps(*calls: tuple[str, dict[str, object]]) -> list[Step]:
    return [
        {"step": number, "tool": tool, "input": given, "reasoning": "", "span": None}
        for number, (tool, given) in enumerate(calls, 1)
    ]


def calculations(*expressions: str) -> list[Step]:
    return steps(*(("calculator", {"expression": text}) for text in expressions))


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('add "a; b | c"', ("todo_store.add", {"text": "a; b | c"})),
        ('add "say \\"hi\\""', ("todo_store.add", {"text": 'say "hi"'})),
        ("list", ("todo_store.list", {})),
        ("list open", ("todo_store.list", {"status": "open"})),
        ("list count open", ("todo_store.list", {"show": "count", "status": "open"})),
        ('list exists "a b"', ("todo_store.list", {"show": "exists", "text": "a b"})),
        ('get "last"', ("todo_store.get", {"todo": "last"})),
        ("delete all", ("todo_store.delete", {"todo": "all"})),
        ('complete ["1", "3"]', ("todo_store.complete", {"todo": ["1", "3"]})),
        ('update "1" to "b"', ("todo_store.update", {"todo": "1", "text": "b"})),
        ('lamp.dim room "hall" level 40', ("lamp.dim", {"room": "hall", "level": 40})),
    ],
)
def test_a_step_is_its_tool_and_its_input(text: str, call: tuple[str, dict[str, object]]) -> None:
    assert read_plans(text).verdict(steps(call)) == Verdict.RIGHT
    assert read_plans(text).verdict(steps(call, call)) == Verdict.WRONG
    assert read_plans(text).verdict([]) == Verdict.REFUSED


@pytest.mark.parametrize(
    ("text", "expressions"),
    [
        ("= 36", ["6 * 6"]),
        ("= 1/3", ["1 / 3"]),
        ("= 5; = 15", ["2 + 3", "({step_1_output}) * 3"]),
        ("= -5; = 20", ["2 - 7", "15 - {step_1_output}"]),
        ("= error", ["1 / 0"]),
    ],
)
def test_a_calculation_is_its_value(text: str, expressions: list[str]) -> None:
    assert read_plans(text).verdict(calculations(*expressions)) == Verdict.RIGHT


def test_another_value_is_silently_wrong_and_one_that_fails_answers_nothing() -> None:
    assert read_plans("= 36").verdict(calculations("36 + 1")) == Verdict.WRONG
    assert read_plans("= 36").verdict(calculations("36 / 0")) == Verdict.REFUSED
    assert read_plans("refused").verdict(calculations("36 / 0")) == Verdict.RIGHT
    assert read_plans("refused").verdict(calculations("36")) == Verdict.WRONG


def test_either_of_two_plans_is_right() -> None:
    either = read_plans("delete all | refused")
    assert either.verdict([]) == Verdict.RIGHT
    assert either.verdict(steps(("todo_store.delete", {"todo": "all"}))) == Verdict.RIGHT


def test_what_a_list_is_asked_with_anyway_does_not_count() -> None:
    asked = steps(("todo_store.list", {"status": "all"}))
    assert read_plans("list").verdict(asked) == Verdict.RIGHT


@pytest.mark.parametrize("text", ["add", "add a b", "list closed", 'update "1"', "dim level", ""])
def test_what_is_no_plan_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_plans(text)


@pytest.mark.parametrize(
    "text",
    ['add "a"; list open', 'update "1" to "b"', "delete all", 'list exists "a b"', 'x.y a "b" c 4'],
)
def test_a_plan_is_written_as_it_is_read(text: str) -> None:
    [plan] = read_plans(text).plans
    made = steps(*((step.tool, step.input) for step in plan))
    assert short_form(made) == text
