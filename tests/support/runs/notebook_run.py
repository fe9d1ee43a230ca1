"""The notebook, executed as a reader does it, and what its cells show.

As a program (`make notebook`) it stores what they show in the notebook.
"""

import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.support.checkout import ROOT
from tests.support.patience import patience

NOTEBOOK = ROOT / "notebooks/quickstart.ipynb"

#: What differs from run to run, and what stands for it.
VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\d+(\.\d+)? m?s\b", "DURATION"),
    (r"(127\.0\.0\.1):\d+", r"\1:PORT"),
    (r" {2,}", " "),  # columns are as wide as their widest cell
)

#: Every warning is an error, but for one that the kernel gives of itself when it ends.
WARNINGS = "error,ignore::PendingDeprecationWarning:ipykernel.kernelbase"

#: Where nobody answers: whatever asks the network from here fails.
NOWHERE = "http://127.0.0.1:9"


def stored() -> Any:
    """The notebook as it is kept, with the outputs of its last execution."""
    return nbformat.read(NOTEBOOK, as_version=4)


def executed(notebook: Any, folder: Path) -> Any:
    """The notebook after all of its cells were executed in a kernel that is started in `folder`."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=round(patience()),
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=_environment())
    return notebook


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "RUNWRIGHT" not in name}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    return {**inherited, **proxies, "PYTHONWARNINGS": WARNINGS}


def sources(notebook: Any) -> dict[str, str]:
    """What the code cells say, by their ids."""
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def shown(notebook: Any) -> dict[str, list[dict[str, str]]]:
    """What each code cell shows, by its id: texts by their type, without what differs each time."""
    return {
        cell.id: [_texts(output) for output in _whole(cell.outputs)]
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def text(notebook: Any, cell: str) -> str:
    """What a cell shows as plain text."""
    return "\n".join(output.get("text/plain", "") for output in shown(notebook)[cell])


def rows(notebook: Any, cell: str) -> list[list[str]]:
    """The cells of the table that a cell shows, without its head."""
    [table] = [output["text/html"] for output in shown(notebook)[cell] if "text/html" in output]
    found = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in table.splitlines()]
    return [cells for cells in found if cells]


def _whole(outputs: list[Any]) -> Iterator[Any]:
    """The outputs, with what was printed in one piece: a slow kernel sends it in several."""
    for name, same in groupby(outputs, key=lambda output: output.get("name")):
        if name is None:
            yield from same
        else:
            pieces = list(same)
            whole = "".join(piece.text for piece in pieces)
            yield nbformat.from_dict({**pieces[0], "text": whole})


def _texts(output: Any) -> dict[str, str]:
    if output.output_type == "stream":
        return {output.name if output.name != "stdout" else "text/plain": _same(output.text)}
    if output.output_type == "error":
        return {"error": output.evalue}
    return {kind: _same(value) for kind, value in output.data.items() if kind != "image/svg+xml"}


def _same(words: str) -> str:
    for pattern, instead in VARYING:
        words = re.sub(pattern, instead, words)
    return words.strip()


if __name__ == "__main__":
    nbformat.write(executed(stored(), NOTEBOOK.parent), NOTEBOOK)
