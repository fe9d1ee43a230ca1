"""The graph as others see it: by `langgraph.json`, as LangGraph's tools do, and in the notebook."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT
from tests.support.runs.notebook_run import shown
from tests.support.servers.server_process import environment
from tests.support.stored.sheet import Sheet
from tests.support.stored.stored_runs import TOOLS_AFTERWARDS

#: Loads what the file names, as `langgraph dev` does, and prints what its tools show of it.
_LOOK = """
import asyncio, importlib, json
for name, place in json.load(open("langgraph.json"))["graphs"].items():
    module, _, attribute = place.partition(":")
    graph = asyncio.run(getattr(importlib.import_module(module), attribute)())
    print(json.dumps([name, "mermaid", graph.get_graph().draw_mermaid()]))
    for schema in ("input", "output", "context"):
        told = getattr(graph, f"get_{schema}_jsonschema")()
        print(json.dumps([name, f"schema of its {schema}", told]))
"""


def studio_sheet(folder: Path) -> Sheet:
    """The graphs of `langgraph.json`: drawn, and by the schemas of what they take and give."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOK],
        cwd=ROOT,
        env=environment(folder, tools=TOOLS_AFTERWARDS),
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {f"{name}: {what}": _readable(value) for name, what, value in told}


def notebook_sheet(notebook: Any) -> Sheet:
    """What each cell of the executed notebook shows.

    `tests.support.runs.notebook_run` says what varies in it.
    """
    sheet = {
        f"cell {cell}: {number} {kind}": text
        for cell, outputs in shown(notebook).items()
        for number, output in enumerate(outputs, 1)
        for kind, text in output.items()
    }
    pictures = [
        (cell.id, output.data["image/svg+xml"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/svg+xml" in output.get("data", {})
    ]
    return sheet | {f"cell {cell}: picture": _words(picture) for cell, picture in pictures}


def _readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _words(svg: str) -> str:
    """What is written in a picture; where it is, depends on the fonts of the machine."""
    return "\n".join(re.findall(r"<(?:title|text)[^>]*>([^<]*)<", svg))
