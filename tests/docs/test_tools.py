"""docs/tools.md tells the truth: its tasks are run, its tables compared."""

import inspect
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import pages
from tests.support.pages import printed_by
from tests.support.pages import without_numbers_of_the_day as same
from tests.support.servers.server_process import serving
from tools.registry import Declaration, Tool, tool

PAGE = (pages.DOCS / "tools.md").read_text()

#: The ten prompts that it proposes.
[PROPOSED] = pages.blocks(PAGE, "text")
PROMPTS = PROPOSED.splitlines()


def test_each_of_the_ten_prompts_is_done_without_a_model(tmp_path: Path) -> None:
    """In the order of the page, on one to-do list."""
    assert len(PROMPTS) == 10
    with serving(tmp_path) as server:
        records = [server.settled(server.post(prompt)) for prompt in PROMPTS]
    assert [record["status"] for record in records] == ["completed"] * 10


def test_every_tool_that_comes_with_it_is_in_the_table(tools: Mapping[str, Tool]) -> None:
    """With what it says of its effects."""
    told = [(name, effects) for name, effects, _ in pages.rows(PAGE, "tool")]
    assert told == [(f"`{one.name}`", "yes" if one.effects else "no") for one in tools.values()]


@pytest.mark.parametrize(("command", "printed"), pages.examples(PAGE), ids=lambda text: text[:40])
def test_the_command_prints_what_the_page_says(tmp_path: Path, command: str, printed: str) -> None:
    assert same(printed_by(command, tmp_path)) == same(printed)


def test_every_argument_of_a_declaration_is_in_the_table_with_its_default() -> None:
    declared = Declaration()
    shown = {
        name: {"None": "the function's", "()": "none", "{}": "none"}.get(
            str(default), f"`{default}`"
        )
        for name in inspect.signature(tool).parameters
        if name != "repeatable"  # the former name of another
        for default in [getattr(declared, name)]
    }
    shown["in_doubt"] = "as set"
    assert {name.strip("`"): default for name, default, _ in pages.rows(PAGE, "argument")} == shown
