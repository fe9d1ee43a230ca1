"""What a notebook is told: by the workbench, by its tables and by the drawing."""

from tempfile import TemporaryDirectory
from typing import Any

import pytest

from graph.build import build_graph
from graph.runs.context import RunNotFound
from graph.storage.sqlite.open import FileOwned
from graph.telemetry import server
from graph.telemetry.server import Drawing, DrawingUnavailable
from graph.workbench import WorkbenchClosed, open_workbench
from graph.workbench.tables import run_table
from tests.support.runs.fake_runs import accepted
from tests.support.wording.messages import refusal
from tools.registry import make_tools

_STEP = {"step": 1, "tool": "notes.add", "input": {}, "reasoning": "", "span": None}


async def messages() -> dict[str, str]:
    """Of calls that cannot be, of captions, and of a drawing without its extra."""
    told = {"closed": str(WorkbenchClosed()), "no-run": str(RunNotFound("<run_id>"))}
    async with await open_workbench() as bench:
        run = await bench.run("what is 1 + 1", mode="plan")
        told["mode"] = await _refused(bench.run("what is 1 + 1", mode="Plan"))  # type: ignore[arg-type]
        told["reason"] = await _refused(run.reject(5))  # type: ignore[arg-type]
        told["after"] = await _refused(anext(run.events(after=-1)))
        told["repr"] = repr(bench)
    return told | _captions() | _edges() | {"drawing": _undrawn(), "open-here": await _open_here()}


async def _refused(call: Any) -> str:
    try:
        await call
    except ValueError as error:
        return str(error)
    raise AssertionError(call)


async def _open_here() -> str:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/runs.db"
        async with await open_workbench(database_url=url):
            with pytest.raises(FileOwned) as owned:
                await open_workbench(database_url=url)
    [note] = owned.value.__notes__
    return note


def _captions() -> dict[str, str]:
    two, one = ({"steps": [_STEP] * number} for number in (2, 1))
    progress = {"done": 1, "of": 2}
    going = run_table(accepted(status="running", plan=two, progress=progress))
    return {
        "caption.running": str(going.caption),
        "caption.pending": str(run_table(accepted()).caption),
        "caption.waiting": str(run_table(accepted(status="waiting", plan=one)).caption),
        "step.to-do": going.cells[1][2],
        "step.not-done": run_table(
            accepted(status="failed", plan=one, error={"message": "no"})
        ).cells[1][2],
    }


def _edges() -> dict[str, str]:
    """What leads from node to node, as the drawing has it."""
    return {
        f"edge.{edge.source}.{edge.target}": str(edge.data)
        for edge in build_graph(make_tools([])).get_graph().edges
        if edge.conditional
    }


def _undrawn() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "can_render", lambda: False)
        return refusal(DrawingUnavailable, Drawing(mermaid="", dot="").svg)
