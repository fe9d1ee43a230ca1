"""What a person is asked about: a set is told in words, and which steps are about it."""

from typing import Any

import pytest

from graph.state import Step
from nodes.approval.questions import needs_approval, tools_of
from tools.loading import BUILTIN
from tools.registry import make_tools

TOOLS = make_tools(BUILTIN)


def steps(*calls: tuple[str, dict[str, Any]]) -> list[Step]:
    return [
        Step(step=number, tool=tool, input=value, reasoning="", span=None)
        for number, (tool, value) in enumerate(calls, start=1)
    ]


@pytest.mark.parametrize(
    ("tool", "todo", "scope"),
    [
        ("delete", "all", "every to-do"),
        ("delete", " All ", "every to-do"),
        ("complete", "all", "every open to-do"),
        ("delete", ["all"], "1 to-do: 'all'"),
        ("delete", ["1", "last"], "2 to-dos: '1', 'last'"),
        ("complete", list("abcdefg"), "7 to-dos: 'a', 'b', 'c', 'd', 'e' and 2 more"),
        ("delete", [1, "{step_1_output.id}"], "2 to-dos: '1', '{step_1_output.id}'"),
    ],
)
def test_a_set_is_told_in_words(tool: str, todo: object, scope: str) -> None:
    [used] = tools_of(steps((f"todo_store.{tool}", {"todo": todo})), TOOLS)

    assert used["scope"] == [f"step 1: {scope}"]


@pytest.mark.parametrize("todo", ["1", "last", "buy milk", "all of it", "{step_1_output.text}"])
def test_one_thing_is_no_set(todo: str) -> None:
    [used] = tools_of(steps(("todo_store.delete", {"todo": todo})), TOOLS)

    assert used == {"tool": "todo_store.delete", "effects": True, "steps": [1]}


def test_each_step_about_a_set_is_told_with_its_number() -> None:
    plan = steps(
        ("todo_store.complete", {"todo": "all"}),
        ("todo_store.list", {"status": "all"}),
        ("todo_store.complete", {"todo": "1"}),
        ("todo_store.complete", {"todo": ["1", "2"]}),
    )

    assert needs_approval(plan, TOOLS, "effects") == [
        {
            "tool": "todo_store.complete",
            "effects": True,
            "steps": [1, 3, 4],
            "scope": ["step 1: every open to-do", "step 4: 2 to-dos: '1', '2'"],
        },
        {"tool": "todo_store.list", "effects": False, "steps": [2]},
    ]
