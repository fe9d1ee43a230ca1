"""docs/doors/studio.md tells the truth: its calls and its code are run, and print what it says.

What else is done there is slow: tests/graph/workbench/test_studio.py.
"""

import asyncio
import contextlib
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs import test_doors as three_doors
from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.servers.server_process import make
from tests.support.servers.studio_server import StudioServer, copy_checkout, studio

DOC = (ROOT / "docs" / "doors" / "studio.md").read_text()

CALLS = [
    (command.replace("\\\n", " "), json.loads(printed))
    for command, printed in re.findall(
        r"```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", DOC, re.DOTALL
    )
]

#: Each ```python block and what it printed. The last one needs a server that asks about every plan,
#: which tests/graph/workbench/test_studio.py has.
[*PROGRAMS, APPROVAL] = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOC, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """Started as the text says, without the waits between attempts."""
    folder = tmp_path_factory.mktemp("studio")
    with studio(folder, tools="examples.flaky:fail_times", backoff="0.01") as server:
        yield server
        # At a run without a thread, which the page shows, LangGraph warns of what it does itself.
        ours = [line for line in server.complaints if "`durability` has no effect" not in line]
        assert ours == []
        assert server.outside.accepted == []


def contains(whole: Any, part: Any) -> bool:
    """Whether a shortened value agrees with the whole one."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def printed_by(program: str, names: dict[str, Any], server: StudioServer) -> str:
    """What it prints, with `names` from the programs before it."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(program.replace("http://localhost:2024", server.url), names)
    return told.getvalue()


@pytest.mark.parametrize(("command", "printed"), CALLS)
def test_a_call_answers_as_printed(server: StudioServer, command: str, printed: Any) -> None:
    place = server.url.removeprefix("http://")
    arguments = shlex.split(command.replace("localhost:2024", place))
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=patience())

    assert contains(json.loads(done.stdout), printed), done.stdout


def test_the_programs_print_what_is_told(server: StudioServer) -> None:
    """One after another, as a reader would run them."""
    names: dict[str, Any] = {}
    for program, printed in PROGRAMS:
        assert printed_by(program, names, server) == printed
    names["client"].http.client.close()


def test_the_task_of_the_three_doors_prints_the_same_here(server: StudioServer) -> None:
    program = three_doors.STUDIO.replace("http://localhost:2024", server.url)
    printed, names = asyncio.run(three_doors.printed_by(program))
    names["client"].http.client.close()
    assert printed == three_doors.PRINTED
    assert {"log", "plan", "run"} <= set(names["state"])
    assert {"run_id", "cursor"} <= set(names["state"]["run"])


def test_every_block_is_run() -> None:
    """None is written in a way that the tests above would pass over."""
    assert (len(CALLS), len(PROGRAMS)) == (DOC.count("$ curl"), DOC.count("```python") - 1)
    assert len(CALLS) == 2


# The command


def test_the_command_opens_a_browser_and_tells_nobody(tmp_path: Path) -> None:
    """What it would run; the server above shows that nothing is called."""
    planned = subprocess.run(
        [*make("studio"), "--dry-run"],
        cwd=copy_checkout(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "langgraph_cli dev" in planned
    assert "--no-browser" not in planned
    assert "LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1" in planned
    assert "LANGSMITH_TRACING=false" in planned


def test_the_graphs_module_is_loaded_once() -> None:
    """A file loaded by its path would be a second copy beside the package's own."""
    listed = json.loads((ROOT / "langgraph.json").read_text())

    assert listed["graphs"] == {"runwright": "graph.compose:studio_graph"}
