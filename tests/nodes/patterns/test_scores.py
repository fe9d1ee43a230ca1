"""The planner keeps what it can read: floors on the development split, for plans only."""

import pytest

from benchmarks.planner import rows
from benchmarks.planner.measures import Measure, measure
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools


@pytest.fixture(scope="module")
def measures() -> dict[str, Measure]:
    planner = PatternPlanner(make_tools(BUILTIN))
    return {each.name: each for each in measure(planner, rows.DEVELOPMENT)}


def test_every_bar_is_met_on_the_development_split(measures: dict[str, Measure]) -> None:
    missed = {name: each.misses for name, each in measures.items() if not each.met}
    assert missed == {}


def test_no_request_is_forced_onto_a_tool(measures: dict[str, Measure]) -> None:
    assert measures["wrong tool on `none` rows"].misses == []


@pytest.mark.parametrize(
    "template", ["{} and add milk to my list", "{}; what is 2 + 2", "show my list, then {}"]
)
def test_no_request_for_another_tool_hides_beside_one_of_ours(template: str) -> None:
    planner = PatternPlanner(make_tools(BUILTIN))
    none = [row for row in rows.intents(rows.DEVELOPMENT) if row.core and row.kind == "none"]
    prompts = [template.format(row.text.rstrip(" .?!")) for row in none]
    assert [prompt for prompt in prompts if planner.read(prompt).steps] == []


def test_the_split_is_there(measures: dict[str, Measure]) -> None:
    """Bars over no rows would be met by anything."""
    assert measures["tool right, mean of the three classes"].total > 700
    assert measures["several requests (composed): exact"].total > 50
