"""The drawing of a compiled graph: mermaid always, SVG and PNG where the extra is installed."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from langchain_core.runnables.graph import Edge, Graph

from graph.build import RunGraph

#: How long Graphviz may take, in seconds; it takes a fraction of one.
TIMEOUT = 30.0

#: Reads DOT, writes the picture. A process of its own, since Graphviz tells the standard error
#: what it thinks of the machine's fonts.
_RENDER = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""

_STYLE = """\
  bgcolor="white"
  node [shape=box style="rounded,filled" fillcolor="#f2f0ff" color="#8a80c8"
        fontname="Helvetica,Arial,sans-serif" fontsize=12]
  edge [color="#555555" fontname="Helvetica,Arial,sans-serif" fontsize=10]"""


class DrawingUnavailable(Exception):
    """There is no picture to be had here; the message says what is missing."""


@dataclass(frozen=True)
class Drawing:
    """One graph, drawn; as the last value of a cell it is a picture, and never asks the network.

    `mermaid` and `dot` are text for others to render.
    """

    mermaid: str
    dot: str

    def svg(self) -> str:
        """The picture as SVG, ready to be put into a page. Raises `DrawingUnavailable`."""
        svg = self._rendered("svg").decode()
        return svg[svg.index("<svg") :]  # without the XML declaration

    def png(self) -> bytes:
        """The picture as PNG. Raises `DrawingUnavailable`."""
        return self._rendered("png")

    def __str__(self) -> str:
        return self.mermaid

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture, or else mermaid for the front end to render."""
        bundle = {"text/plain": self.mermaid, "text/markdown": f"```mermaid\n{self.mermaid}```"}
        if can_render():
            bundle["image/svg+xml"] = self.svg()
        return bundle

    def _rendered(self, form: Literal["svg", "png"]) -> bytes:
        if not can_render():
            raise DrawingUnavailable(
                "pictures need the extra: pip install 'runwright[drawing]' (in a clone, pip install"
                " -e '.[drawing]'); .mermaid and .dot do without"
            )
        done = subprocess.run(  # noqa: S603 - our own interpreter and text
            [sys.executable, "-P", "-c", _RENDER, form],
            input=self.dot.encode(),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise DrawingUnavailable(f"Graphviz failed: {done.stderr.decode(errors='replace')}")
        return done.stdout


def draw(graph: RunGraph) -> Drawing:
    """The drawing of a graph: every node, and every edge that a run can take (dashed: one of
    several)."""
    drawable = graph.get_graph()
    return Drawing(mermaid=drawable.draw_mermaid(), dot=_dot(drawable))


def can_render() -> bool:
    """Whether the extra for pictures is installed."""
    return find_spec("pygraphviz") is not None


def _dot(drawable: Graph) -> str:
    ends = {node.id for node in (drawable.first_node(), drawable.last_node()) if node}
    nodes = [
        f"  {_quoted(name)}{_attributes({'shape': 'oval'} if name in ends else {})}"
        for name in drawable.nodes
    ]
    edges = [
        f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{_attributes(_line(edge))}"
        for edge in drawable.edges
    ]
    return "\n".join(["digraph {", _STYLE, *nodes, *edges, "}", ""])


def _line(edge: Edge) -> dict[str, Any]:
    style = {"style": "dashed"} if edge.conditional else {}
    return style if edge.data is None else style | {"label": edge.data}


def _attributes(given: Mapping[str, Any]) -> str:
    listed = " ".join(f"{name}={_quoted(str(value))}" for name, value in given.items())
    return f" [{listed}]" if listed else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
