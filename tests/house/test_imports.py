"""The house keeps its order: which file may import which, and what is never loaded unasked."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience

LAYERS = ("tools", "nodes", "graph", "api")  # each may import itself and those before it
LEAF = "graph.state"
MODEL_CLIENTS = ("litellm", "langchain_litellm")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    tree = ast.parse(path.read_text(), str(path))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, also inside functions."""
    names: set[str] = set()
    for node in imports(path):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif node.module:
            names.add(node.module)
            # `from graph import state` names a module as much as `import graph.state` does.
            names.update(
                f"{node.module}.{alias.name}"
                for alias in node.names
                if (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists()
            )
    return names


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


each_source = pytest.mark.parametrize("path", SOURCES, ids=name_of)


@each_source
def test_imports_go_one_way(path: Path) -> None:
    layer = name_of(path).split(".")[0]
    above = LAYERS[LAYERS.index(layer) + 1 :]
    upwards = {
        name
        for name in imported(path)
        if any(below(name, package) for package in above)
        and not (layer == "nodes" and name == LEAF)
    }

    assert not upwards


@each_source
def test_imports_are_absolute(path: Path) -> None:
    """A file that a tool loads by its path has no package to be relative to."""
    assert not [node for node in imports(path) if isinstance(node, ast.ImportFrom) and node.level]


@each_source
def test_only_one_file_imports_a_model_client_and_only_when_called(path: Path) -> None:
    wanted = {name for name in imported(path) if any(below(name, one) for one in MODEL_CLIENTS)}
    at_import = {
        name
        for node in ast.parse(path.read_text()).body
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }

    assert not wanted or name_of(path) == "graph.models.client"
    assert not wanted & at_import


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if below(name_of(path), LEAF)], ids=name_of
)
def test_the_state_imports_nothing_else_of_ours(path: Path) -> None:
    ours = {name for name in imported(path) if any(below(name, layer) for layer in LAYERS)}

    assert all(below(name, LEAF) for name in ours)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_package_is_found_in_the_project_and_re_exports_nothing(layer: str) -> None:
    """Their names are generic: another package of the same name must not be the one found."""
    package = importlib.import_module(layer)
    (only,) = ast.parse((ROOT / layer / "__init__.py").read_text()).body

    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / layer
    assert isinstance(only, ast.Expr)


@pytest.mark.parametrize("module", ["api.app", "graph.compose"])
def test_a_model_client_is_not_loaded_before_a_model_is_configured(module: str) -> None:
    """It costs seconds, 200 MB and a look at the network."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(),
    ).stdout.split()

    assert module in loaded
    assert not set(loaded) & set(MODEL_CLIENTS)
