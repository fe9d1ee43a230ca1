"""docs/tools/in_doubt.md tells the truth: its tables are compared, its declarations made."""

import re

from nodes.approval.questions import ANSWERS
from tests.support import pages
from tools.registry import ToolCall, make_tool, tool

PAGE = (pages.DOCS / "tools" / "in_doubt.md").read_text()


def test_every_answer_is_in_the_table() -> None:
    told = [re.findall(r'"as": "(\w+)"', answer)[0] for answer, _ in pages.rows(PAGE, "answer")]
    assert told == [*ANSWERS]


def test_the_declarations_are_those_of_tools() -> None:
    [code] = pages.blocks(PAGE, "python")
    made: dict[str, object] = {"tool": tool, "ToolCall": ToolCall}
    exec(code.replace(": ...", ': """Do it."""'), made)
    pay, send = make_tool(made["pay"]), make_tool(made["send"])  # type: ignore[arg-type]

    assert (pay.acts_once, send.acts_once, send.in_doubt) == (False, True, "fail")
