"""A folder of corpora in the form of benchmarks/planner/README.md is scored row by row."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planner.measures import Measure, measure
from benchmarks.planner.rows import intents, several
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools


def todo(*actions: str, items: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "tool": "todo_store",
        "accept_actions": list(actions),
        "value": None,
        "accept_items": list(items),
    }


def sum_of(value: str) -> dict[str, Any]:
    return {"tool": "calculator", "accept_actions": [], "value": value, "accept_items": []}


NOTHING = {"tool": "none", "accept_actions": [], "value": None, "accept_items": []}

INTENTS = [
    ("put mortar on my list", todo("add", items=("mortar",)), "core"),
    ("scratch mortar off my list", todo("complete", "delete", items=("the Mortar",)), "core"),
    ("show my list", todo("add"), "core"),  # labelled wrongly: a miss
    ("9 plus 4", sum_of("13"), "core"),
    ("9 plus 5", sum_of("13"), "core"),  # a miss
    ("sing me a shanty", NOTHING, "core"),
    ("7 plus 7", NOTHING, "core"),  # a wrong tool
    ("nine furlongs in feet", NOTHING, "extended"),
]
SEVERAL = [
    ("9 plus 4, then show my list", [sum_of("13"), todo("list")], []),
    ("show my list, then 9 plus 4", [todo("list")], [[todo("list"), sum_of("13")]]),
    ("show my list and sing", [todo("list"), todo("list")], []),  # a miss
]
EXPRESSIONS = [("7 * 6", "42"), ("1 / 3", "1/3"), ("7 *", "error"), ("6 * 6", "42")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def write(name: str, rows: list[dict[str, Any]]) -> None:
        numbered = [json.dumps({"id": f"{name}-{at}", **row}) for at, row in enumerate(rows)]
        (tmp_path / name).write_text("\n".join(numbered))

    write(
        "intent.jsonl",
        [
            {
                "text": text,
                "expected_tool": step["tool"],
                "accept_actions": step["accept_actions"],
                "expected_value": step["value"],
                "accept_items": step["accept_items"],
                "scope": scope,
                "tags": [],
            }
            for text, step, scope in INTENTS
        ],
    )
    write(
        "multi.jsonl",
        [
            {
                "text": text,
                "kind": "composed",
                "scope": "core",
                "expected_steps": steps,
                "accept_plans": others,
            }
            for text, steps, others in SEVERAL
        ],
    )
    write(
        "calc_expr.jsonl",
        [
            {
                "expression": text,
                "kind": "invalid" if value == "error" else "valid",
                "expected": value,
                "scope": "core",
            }
            for text, value in EXPRESSIONS
        ],
    )
    return tmp_path


@pytest.fixture
def measures(folder: Path) -> dict[str, Measure]:
    planner = PatternPlanner(make_tools(BUILTIN))
    return {each.name: each for each in measure(planner, folder)}


def test_every_row_is_read(folder: Path) -> None:
    assert len(intents(folder)) == len(INTENTS)
    assert len(several(folder)) == len(SEVERAL)


@pytest.mark.parametrize(
    ("name", "right", "rows"),
    [
        ("tool right: calculator", 2, 2),
        ("tool right: todo_store", 3, 3),
        ("tool right: none", 1, 2),
        ("to-do requests: tool and action right", 2, 3),
        ("to-do item right", 2, 2),
        ("calculator value right", 1, 2),
        ("several requests (composed): exact", 2, 3),
        ("calculator: valid expressions right", 2, 3),
        ("calculator: invalid ones rejected", 1, 1),
    ],
)
def test_a_measure_is_the_share_of_its_rows(
    measures: dict[str, Measure], name: str, right: int, rows: int
) -> None:
    assert measures[name].total == rows
    assert measures[name].score == pytest.approx(right / rows)
    assert len(measures[name].misses) == rows - right


def test_a_tool_where_none_fits_is_a_false_positive(measures: dict[str, Measure]) -> None:
    wrong = measures["wrong tool on `none` rows"]
    assert (wrong.score, wrong.met) == (0.5, False)
    assert "'7 plus 7'" in wrong.misses[0]
