"""docs/doors/three_doors.md tells the truth: one task, three doors, one output.

In Studio it is done in `test_studio.py`, where one is started anyhow.
"""

import ast
import asyncio
import contextlib
import io
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from graph.workbench import Run
from tests.support.checkout import ROOT
from tests.support.servers.server_process import serving

PAGE, _, TALK = (
    (ROOT / "docs" / "doors" / "three_doors.md").read_text().partition("## A conversation\n")
)
TALK, _, NAMES = TALK.partition("## The same thing")
[PRINTED] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
HTTP, STUDIO, NOTEBOOK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def printed_by(program: str) -> tuple[str, dict[str, Any]]:
    """What a cell prints, and the names that it leaves."""
    told, names = io.StringIO(), dict[str, Any]()
    code = compile(program, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(told):
        result: Coroutine[Any, Any, None] | None = eval(code, names)
        if result is not None:
            await result
    return told.getvalue(), names


def test_over_http(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        program = HTTP.replace("http://localhost:8000", server.url)
        printed, names = asyncio.run(printed_by(program))
        names["client"].close()
    assert printed == PRINTED
    assert {"run_id", "execution_log", "marks", "progress"} <= set(names["run"])


async def test_in_a_notebook() -> None:
    printed, names = await printed_by(NOTEBOOK)
    assert printed == PRINTED
    for name in re.findall(r"`(?:await )?run\.(\w+)", NAMES):
        assert hasattr(names["run"], name), name
    assert isinstance(names["run"], Run)
    assert {"marks", "progress"} <= set(names["run"].record)


def test_the_task_is_the_same_in_each() -> None:
    [task] = {
        re.findall(r'"(calculate [^"]+)"', program)[0] for program in (HTTP, STUDIO, NOTEBOOK)
    }
    assert task


async def test_a_conversation_is_the_same_over_http_and_in_a_notebook(tmp_path: Path) -> None:
    [told] = re.findall(r"```text\n(.*?)```", TALK, re.DOTALL)
    http, notebook = re.findall(r"```python\n(.*?)```", TALK, re.DOTALL)
    assert (await printed_by(notebook))[0] == told
    with serving(tmp_path) as server:
        printed, names = await printed_by(http.replace("http://localhost:8000", server.url))
        names["client"].close()
    assert printed == told
