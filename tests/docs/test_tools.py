"""docs/tools.md tells the truth: its tasks are run, its tables compared."""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from tests.support import pages
from tests.support.own_tools.own_files import own_files
from tests.support.pages import printed_by
from tests.support.pages import without_numbers_of_the_day as same
from tests.support.patience import patience
from tests.support.servers.server_process import serving
from tools.invocation import invoke
from tools.registry import Declaration, ToolCall, make_tool, tool
from tools.threads import ToolThreads
from tools.toolbox import Tool

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
        name: {
            "None": "the function's" if name == "name" else "none",
            "()": "none",
            "{}": "none",
        }.get(str(default), f"`{default}`")
        for name in inspect.signature(tool).parameters
        if name != "repeatable"  # the former name of another
        for default in [getattr(declared, name)]
    }
    shown["in_doubt"] = "as set"
    shown["name"] = "the function's"
    assert {name.strip("`"): default for name, default, _ in pages.rows(PAGE, "argument")} == shown


#: The file of tools, the tool with a receipt, and the test of the first one.
FILE, ONCE, TEST = pages.blocks(PAGE, "python")


def test_the_file_is_loaded_as_the_page_says(tmp_path: Path) -> None:
    """The command is that of the page, in a folder with the file and a note."""
    [command] = pages.blocks(PAGE, "sh")
    files = {"my_tools.py": FILE, "notes/shopping.txt": "milk"}
    with own_files(files) as folder:
        told = printed_by(command.strip(), tmp_path, cwd=folder)
    assert '"text": "milk"' in told


async def test_the_tool_with_a_receipt_has_its_effect_once() -> None:
    defined: dict[str, Any] = {}
    exec(ONCE, defined)
    made, call = make_tool(defined["add_note"]), ToolCall("me", "step-1", InMemoryStore())
    threads = ToolThreads(1)
    outputs = [
        (await invoke(made, {"text": text}, call, timeout=patience(), threads=threads)).output
        for text in ("milk", "eggs")
    ]
    assert outputs == [{"id": "step-1", "text": "milk"}] * 2


async def test_the_test_of_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tools.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_tools", raising=False)
    defined: dict[str, Any] = {}
    exec(TEST, defined)
    await defined["test_a_note_is_read"](tmp_path, monkeypatch)
    del sys.modules["my_tools"]
