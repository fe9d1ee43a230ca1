"""docs/doors/notebook.md tells the truth: its cells are executed, its outputs compared."""

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graph.workbench import Run, Workbench
from tests.support.checkout import ROOT
from tests.support.servers.server_process import serving

PAGE = (ROOT / "docs/doors/notebook.md").read_text()

#: Every cell, and what the page says that it shows.
CELLS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_the_command_offers_the_kernel_to_other_installations(tmp_path: Path) -> None:
    [command] = re.findall(r"```sh\n\.venv/bin/python (.*)\n```", PAGE)
    subprocess.run(
        [sys.executable, *shlex.split(command)],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    [kernel] = tmp_path.rglob("kernels/runwright/kernel.json")
    assert json.loads(kernel.read_text())["argv"][0] == sys.executable


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RUNWRIGHT_")]:
        monkeypatch.delenv(name)


async def shown_by(cell: str, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What a notebook would show as text: what is printed, then the last value."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    await evaluated(compile(tree, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    value = None
    if isinstance(last, ast.Expr):
        expression = ast.Expression(last.value)
        value = await evaluated(
            compile(expression, "cell", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names
        )
    return capsys.readouterr().out + ("" if value is None else f"{value!r}\n")


async def evaluated(code: Any, names: dict[str, Any]) -> Any:
    value = eval(code, names)
    return await value if inspect.iscoroutine(value) else value


def same(text: str) -> str:
    """Durations differ from run to run."""
    return re.sub(r"[\d.]+ ms", "DURATION", text)


async def test_every_cell_shows_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CELLS) == PAGE.count("```python")
    names: dict[str, Any] = {}
    for cell, printed in CELLS:
        assert same(await shown_by(cell, names, capsys)) == same(printed), cell
    await names["bench"].close()


@pytest.mark.parametrize(
    ("owner", "name"), sorted(set(re.findall(r"`[^`]*?\b(bench|run)\.(\w+)", PAGE)))
)
def test_every_name_on_the_page_exists(owner: str, name: str) -> None:
    assert hasattr({"bench": Workbench, "run": Run}[owner], name) or name == "record"


def test_every_path_on_the_page_is_one_of_the_server(tmp_path: Path) -> None:
    named = set(re.findall(r"`(GET|POST) (/[\w/{}]+)`", PAGE))
    with serving(tmp_path) as server:
        paths = server.client.get("/openapi.json").json()["paths"]
    served = {
        (method.upper(), re.sub(r"\{run_id\}", "{id}", path))
        for path, methods in paths.items()
        for method in methods
    }

    assert named <= served
    assert len(named) > 10
