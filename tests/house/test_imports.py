"""The house keeps its order: which file may import which, and what is never loaded unasked."""

import ast
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from api.__main__ import DISPENSABLE
from tests.house.rules import FLOORS, PACKAGES, House, below, imports_in
from tests.support.checkout import ROOT
from tests.support.patience import patience

LEAF = "graph.state"
MODEL_CLIENTS = ("litellm", "langchain_litellm")
#: What is loaded only where the settings name MCP servers.
OF_SERVERS = (
    *("mcp", "mcp_types", "jsonschema", "jsonschema_rs"),
    *("tools.mcp", "tools.schema_budget"),
)
#: What a start does without: the language of the pattern planner, and LangGraph's protocol.
UNASKED = ("nodes.patterns.planner", "nodes.patterns.english", "api.lg.calls", "api.lg.requests")
#: What only calls of models need: what they are told, answers, and the client's surroundings.
OF_MODELS = (
    *("nodes.answers.prompt", "nodes.answers.writer"),
    *("nodes.planning.conversation", "nodes.planning.prompt"),
    *("graph.models.breaker", "graph.models.client", "graph.models.connections"),
)
#: What a replay keeps its run in.
OF_REPLAYS = ("langgraph.checkpoint.memory", "langgraph.store.memory")
#: What reads the stream of another server, and what a client of MCP starts.
OF_CLIENTS = ("httpx_sse", "api.cli.mcp")
#: A first run where no model is configured, from the start of the server to its end.
A_RUN = """
import asyncio, api.app
from graph.compose import open_runs
from graph.settings import Settings

async def run():
    async with open_runs(Settings(database_url="memory://", models=[])) as runs:
        run_id = (await runs.start("add 2 and 3"))["run_id"]
        record = await runs.wait(run_id, timeout=600, owner="default")
        assert record["status"] == "completed", record

asyncio.run(run())
"""
#: What the terminal shows and files hold at the end of one command.
OF_COMMANDS = ("rich", "pygments", "xml.etree")
HOUSE = House(ROOT)


def imported(path: Path) -> set[str]:
    """The modules of anybody that a file imports anywhere in it, also inside functions."""
    return {name for node in imports_in(path.read_text()) for name in names_of(node)}


def names_of(node: ast.AST) -> list[str]:
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def clients(names: Iterable[str]) -> set[str]:
    """Those that are a client of models, or part of one."""
    return {name for name in names if any(below(name, client) for client in MODEL_CLIENTS)}


def test_every_module_has_a_room_on_a_floor() -> None:
    assert HOUSE.homeless() == []
    assert {room for rooms in FLOORS for room in rooms} <= {*HOUSE.modules}


def test_imports_go_down_the_floors() -> None:
    assert HOUSE.climbing() == []


def test_folders_are_entered_by_their_doors() -> None:
    """What others may use of a folder stands in its docstring, and nothing that nobody uses."""
    assert HOUSE.forced() == []
    assert HOUSE.stale() == []


def test_nothing_leads_to_itself() -> None:
    assert HOUSE.circles() == []


@pytest.mark.parametrize(
    ("rule", "planted_in", "line"),
    [
        ("climbing", "tools/todos.py", "from nodes.plan import plan"),
        ("climbing", "nodes/plan.py", "from graph.build import build_graph"),
        ("climbing", "graph/record/diff.py", "from graph.build import build_graph"),
        ("climbing", "graph/queue/executor.py", "from graph.models.client import LiteLlmModel"),
        ("climbing", "graph/commands/seeded.py", "from api.app import create_app"),
        ("climbing", "graph/state/row.py", "from tools.registry import Tool"),
        ("forced", "api/routes/runs.py", "from graph.runs.runner import GraphRunner"),
        ("forced", "graph/compose.py", "from graph.storage.sqlite.maintenance import Searcher"),
        ("forced", "nodes/plan.py", "from nodes.patterns.english.list_names import LIST"),
        ("circles", "graph/runs/context.py", "from graph.runs.runner import Runner"),
        ("circles", "nodes/contract/steps.py", "import nodes.contract.checks"),
        ("homeless", "graph/helpers.py", "x = 1"),
        ("stale", "graph/queue/__init__.py", '"""Others use `executor.Jobs`."""'),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, rule: str, planted_in: str, line: str) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.pyc"))
    place = tmp_path / planted_in
    before = place.read_text() if place.exists() and rule != "stale" else ""
    place.write_text(f"{before}\n{line}\n")

    breaches = getattr(House(tmp_path), rule)()

    assert breaches
    assert all(planted_in.removesuffix(".py").split("/")[1] in breach for breach in breaches)


def test_imports_are_absolute() -> None:
    """A file that a tool loads by its path has no package to be relative to."""
    relative = [
        name
        for name, path in HOUSE.modules.items()
        for node in imports_in(path.read_text())
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


def test_only_one_file_imports_a_model_client_and_only_when_called() -> None:
    importing = {name for name, path in HOUSE.modules.items() if clients(imported(path))}
    at_import = {
        name
        for name, path in HOUSE.modules.items()
        if clients(named for node in ast.parse(path.read_text()).body for named in names_of(node))
    }

    assert importing == {"graph.models.client"}
    assert at_import == set()


@pytest.mark.parametrize("name", [name for name in HOUSE.modules if below(name, LEAF)])
def test_the_state_imports_nothing_else_of_ours(name: str) -> None:
    ours = [one for one in imported(HOUSE.modules[name]) if one.split(".")[0] in PACKAGES]

    assert all(below(one, LEAF) for one in ours)


@pytest.mark.parametrize("layer", PACKAGES)
def test_a_package_is_found_in_the_project_and_re_exports_nothing(layer: str) -> None:
    """Their names are generic: another package of the same name must not be the one found."""
    package = importlib.import_module(layer)
    (only,) = ast.parse((ROOT / layer / "__init__.py").read_text()).body

    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / layer
    assert isinstance(only, ast.Expr)


def loaded_by(code: str) -> set[str]:
    """The modules of a process that has done this."""
    return set(
        subprocess.run(
            [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=patience(),
        ).stdout.split()
    )


def test_what_is_not_configured_is_not_loaded() -> None:
    """A client of models costs seconds, 200 MB and a look at the network; MCP half a second."""
    loaded = loaded_by("import api.app, graph.compose")

    assert {"api.app", "graph.compose"} <= loaded
    assert not loaded & {*MODEL_CLIENTS, *OF_SERVERS, *UNASKED, *OF_MODELS, *OF_REPLAYS}


def test_a_run_without_a_model_loads_nothing_that_models_need() -> None:
    loaded = loaded_by(A_RUN)

    assert {"graph.runs.runner", "nodes.patterns.planner"} <= loaded
    assert not loaded & {*MODEL_CLIENTS, *OF_SERVERS, *OF_MODELS, *OF_REPLAYS, *OF_CLIENTS}


def test_with_a_model_what_it_needs_is_there_before_the_first_run() -> None:
    """But its client, which is loaded beside the first answers."""
    models = 'Settings(database_url="memory://", models=["openai/a"])'
    loaded = loaded_by(f"""
import asyncio
from graph.compose import open_runs
from graph.settings import Settings

async def start():
    async with open_runs({models}, answering=asyncio.Event()):
        pass

asyncio.run(start())
""")

    assert {*OF_MODELS} <= loaded
    assert not loaded & {*MODEL_CLIENTS}


def test_a_command_loads_nothing_that_only_another_one_needs() -> None:
    """What others would bring with them for something of their own is not loaded either."""
    loaded = loaded_by("from api.__main__ import main\nmain(['key', 'new', 'alice'])")

    assert {"api.cli.serve", "httpx"} <= loaded
    assert not loaded & {*MODEL_CLIENTS, *OF_SERVERS, *UNASKED, *OF_COMMANDS, *DISPENSABLE}
    assert not loaded & {*OF_MODELS, *OF_REPLAYS, *OF_CLIENTS}
