"""The drawing of the graph: the same nodes and edges in every form, made without a network."""

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from graph.build import build_graph
from graph.telemetry import server
from graph.telemetry.server import Drawing, DrawingUnavailable, draw
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools

EDGES = {
    ("__start__", "plan"),
    ("plan", "plan"),
    ("plan", "fallback_plan"),
    ("plan", "execute_step"),
    ("plan", "finalize"),
    ("fallback_plan", "execute_step"),
    ("fallback_plan", "finalize"),
    ("execute_step", "execute_step"),
    ("execute_step", "plan"),
    ("execute_step", "finalize"),
    ("finalize", "__end__"),
}


@pytest.fixture(scope="module")
def drawn() -> Drawing:
    return draw(build_graph(make_tools(BUILTIN)))


@pytest.fixture
def renderer() -> None:
    """The extra is optional: without it there is nothing to be tested here."""
    if not server.can_render():
        pytest.skip("the drawing extra is not installed")


def test_every_edge_is_in_both_texts(drawn: Drawing) -> None:
    mermaid = re.findall(r"(\w+) (-->|-\.->|-\. .*? \.->) (\w+);", drawn.mermaid)
    dot = re.findall(r'"(\w+)" -> "(\w+)"', drawn.dot)

    assert {(source, target) for source, _, target in mermaid} == EDGES
    assert set(dot) == EDGES
    assert len(mermaid) == len(dot) == len(EDGES)


def test_edges_that_are_one_of_several_are_dashed(drawn: Drawing) -> None:
    solid = {
        (source, target)
        for source, target, told in re.findall(r'"(\w+)" -> "(\w+)"(.*)', drawn.dot)
        if "dashed" not in told
    }

    assert solid == {("__start__", "plan"), ("finalize", "__end__")}
    assert str(drawn) == drawn.mermaid


@pytest.mark.usefixtures("renderer")
def test_the_svg_has_every_node_and_edge_and_stands_alone(drawn: Drawing) -> None:
    svg = drawn.svg()
    titles = [
        title.text or "" for title in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")
    ]

    assert svg.startswith("<svg")
    assert {tuple(title.split("->")) for title in titles if "->" in title} == EDGES
    assert {title for title in titles if "->" not in title} >= {
        node for edge in EDGES for node in edge
    }
    assert not re.search(r"(href|src)=", svg)


@pytest.mark.usefixtures("renderer")
def test_the_png_is_a_picture(drawn: Drawing) -> None:
    png = drawn.png()

    assert png.startswith(b"\x89PNG\r\n")
    assert png.rstrip().endswith(b"IEND\xaeB`\x82")


@pytest.mark.usefixtures("renderer")
def test_what_cannot_be_drawn_says_why() -> None:
    with pytest.raises(DrawingUnavailable, match="syntax error"):
        Drawing(mermaid="", dot="digraph {").svg()


@pytest.mark.usefixtures("renderer")
def test_names_and_labels_keep_their_characters() -> None:
    """Quotes and backslashes are no end of a name."""
    name = 'a "b" \\ c'
    svg = Drawing(mermaid="", dot=f"digraph {{ {server._quoted(name)} }}").svg()

    assert [text.text for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")] == [
        name
    ]


def test_without_the_extra_it_is_mermaid_and_says_how_to_get_pictures(
    drawn: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "can_render", lambda: False)

    assert drawn._repr_mimebundle_() == {
        "text/plain": drawn.mermaid,
        "text/markdown": f"```mermaid\n{drawn.mermaid}```",
    }
    for render in (drawn.svg, drawn.png):
        with pytest.raises(DrawingUnavailable) as error:
            render()
        assert str(error.value) == wording("workbench.drawing")


@pytest.mark.usefixtures("renderer")
def test_graphviz_is_not_loaded_into_the_process(drawn: Drawing) -> None:
    """What it crashes on, and what it prints, stays out of a server or a notebook."""
    drawn.svg()

    assert "pygraphviz" not in sys.modules
