"""`langgraph.json`: whether LangGraph's tools can load the graphs that it names."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.cli.doctor.finding import Finding, fails, ok, skipped, warning
from graph.build import build_graph
from graph.compose import open_tools
from graph.settings import Settings
from nodes.patterns.overlaps import overlapping_phrases
from tools.loading import load
from tools.registry import InvalidTool

CHECK = "langgraph.json"

MEND = 'write {"dependencies": ["."], "graphs": {"runwright": "graph.studio:graph"}}'


def check_studio(folder: Path) -> Iterator[Finding]:
    """Import each graph of the file in `folder` as `langgraph dev` does."""
    file = folder / "langgraph.json"
    if not file.exists():
        yield skipped(CHECK, f"not applicable: there is none in {folder}")
        return
    try:
        graphs = json.loads(file.read_text())["graphs"]
        places = {name: _place(named) for name, named in graphs.items()}
        if not places:
            raise ValueError("it names no graph")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        yield fails(CHECK, f"{file} cannot be used: {reason}", MEND)
        return
    found = [_load(name, place, folder) for name, place in places.items()]
    loaded = all(finding.status == "ok" for finding in found)
    if loaded and (refusal := _refusal(file)):
        found = [fails(CHECK, f"`langgraph dev` refuses {file}: {refusal}", MEND)]
    yield from found


def _refusal(file: Path) -> str | None:
    """What LangGraph's own command has against the file; None also where it is not installed."""
    if not _is_installed():
        return None
    config: Any = importlib.import_module("langgraph_cli.config")
    try:
        config.validate_config_file(file)
    except Exception as error:  # one of click's for most faults, whatever comes up for others
        return str(error).partition("\n")[0]
    return None


def _is_installed() -> bool:
    return importlib.util.find_spec("langgraph_cli") is not None


def _place(named: Any) -> str:
    """`module:graph`, or the same within an object."""
    place = named["path"] if isinstance(named, dict) else named
    if not isinstance(place, str) or ":" not in place:
        raise ValueError(f"{place!r} names no graph; write module:graph")
    return place


def _load(name: str, place: str, folder: Path) -> Finding:
    module_name, _, graph_name = place.rpartition(":")
    try:
        module = _module(module_name, folder)
        graph = getattr(module, graph_name)
    except Exception as error:  # whatever a module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        mend = "mend the module, or what the settings above tell"
        return fails(CHECK, f"{name}: cannot load {place}: {reason}", mend)
    if not (hasattr(graph, "get_graph") or callable(graph)):
        mend = "name a compiled graph, or a function that makes one"
        return fails(CHECK, f"{name}: {place} is no graph but a {type(graph).__name__}", mend)
    server = f"`langgraph dev` is {'installed' if _is_installed() else 'not installed'}"
    return ok(CHECK, f"{name}: {place} loads; {server}")


def _module(name: str, folder: Path) -> Any:
    if not name.endswith(".py"):
        if str(folder) not in sys.path:  # a console script does not look there
            sys.path.append(str(folder))
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("graph_of_langgraph_json", folder / name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The user's own tools.


TOOLS_CHECK = "tools"

TOOLS_MEND = (
    "mend it or take it out of RUNWRIGHT_TOOLS; modules are looked up from the working folder"
)
OVERLAP_MEND = "let it be so if it is meant; else change a word of the phrase"


def check_tools(settings: Settings) -> Iterator[Finding]:
    """Load them as a server does."""
    broken = False
    for name in settings.tools:
        try:
            load(name)
        except InvalidTool as error:
            broken = True
            yield fails(TOOLS_CHECK, str(error), TOOLS_MEND)
    if broken:
        return
    try:
        tools = open_tools(settings)
        build_graph(tools)  # which reads their phrases
        overlaps = list(overlapping_phrases(tools))
    except InvalidTool as error:
        yield fails(TOOLS_CHECK, str(error), TOOLS_MEND)
        return
    for overlap in overlaps:
        yield warning(TOOLS_CHECK, str(overlap), OVERLAP_MEND)
    yield ok(TOOLS_CHECK, f"{len(tools)} tools, {len(settings.tools)} of them your own")
