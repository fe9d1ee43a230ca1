"""The notebook does what it says, offline and without a key, and what it has kept is still true."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from graph.telemetry.server import can_render
from tests.support.checkout import ROOT
from tests.support.runs.notebook_run import executed, rows, shown, sources, stored, text
from tests.support.servers.server_process import serving
from tests.support.stored.comparison import compared
from tests.support.stored.drawings import notebook_sheet


@pytest.fixture(scope="module")
def fresh() -> Any:
    """Executed from the folder it is in, with a server that it starts itself."""
    return executed(stored(), ROOT / "notebooks")


def test_what_is_stored_is_what_it_shows(fresh: Any) -> None:
    """A reader on a website sees what a run of it gives; `make notebook` stores it anew."""
    assert shown(stored()) == shown(fresh)


def test_what_is_stored_of_it_elsewhere_is_what_it_shows(fresh: Any) -> None:
    """Beside all else that is told of runs, with the words in its pictures."""
    if told := compared({"notebook": notebook_sheet(fresh)}):
        pytest.fail(told, pytrace=False)


def test_nothing_goes_wrong_unseen(fresh: Any) -> None:
    """No error, and nothing on the standard error, with every warning an error."""
    kinds = {kind for outputs in shown(fresh).values() for output in outputs for kind in output}

    assert kinds == {"text/plain", "text/html", "text/markdown"}


@pytest.mark.slow  # it is executed a second time
def test_it_talks_to_a_server_that_runs_already_and_starts_from_the_root(
    fresh: Any, tmp_path: Path
) -> None:
    """With its address in the cell that otherwise starts one."""
    notebook = stored()
    with serving(tmp_path) as server:
        [cell] = [cell for cell in notebook.cells if cell.id == "serve"]
        cell.source = cell.source.replace("url = None", f"url = {server.url!r}")
        assert server.url in cell.source
        again = shown(executed(notebook, ROOT))
        assert server.process.poll() is None
        assert len(server.client.get("/runs").json()["runs"]) == 1

    assert again.pop("serve") == []
    assert again == {cell: output for cell, output in shown(fresh).items() if cell != "serve"}


def test_a_run_is_shown_as_its_steps(fresh: Any) -> None:
    assert rows(fresh, "run") == [
        ["1", "todo_store.add", "ok", "1", "DURATION"],
        ["2", "todo_store.list", "ok", "1", "DURATION"],
    ]
    assert text(fresh, "run").startswith("completed: 2 steps done; 1 to-do\nstep tool status")
    assert text(fresh, "output") == "['buy milk']"
    assert text(fresh, "refused").startswith("failed: not understood: \"what's the capital")


def test_the_events_arrive_in_order(fresh: Any) -> None:
    lines = [line.split() for line in text(fresh, "watch").splitlines()]

    assert [int(line[0]) for line in lines] == list(range(1, 13))
    assert [line[1:] for line in lines if line[1].startswith("step.")] == [
        ["step.started", "1"],
        ["step.completed", "1"],
        ["step.started", "2"],
        ["step.completed", "2"],
    ]
    assert text(fresh, "events") == text(fresh, "watch")


def test_the_log_is_a_table(fresh: Any) -> None:
    assert [[unescape(cell) for cell in row] for row in rows(fresh, "log")] == [
        ["1", "1", "calculator", '{"expression": "10 + 5"}', "ok", "15", "DURATION"],
        ["2", "1", "calculator", '{"expression": "(15) * 3"}', "ok", "45", "DURATION"],
    ]
    assert text(fresh, "entry") == "[15, 45]"


def edges_of(mermaid: str) -> set[tuple[str, str]]:
    """From where to where, whatever is written at the arrows."""
    return set(re.findall(r"(\w+) -[-.](?: .* [-.]-)?-?> (\w+);", mermaid))


def test_the_graph_is_drawn_and_is_langgraphs_own(fresh: Any) -> None:
    [drawing] = [cell for cell in fresh.cells if cell.id == "drawing"]
    [output] = drawing.outputs

    assert ("execute_step", "execute_step") in edges_of(text(fresh, "drawing"))
    assert ("image/svg+xml" in output.data) == can_render()
    assert text(fresh, "graph").splitlines() == [
        *("plan", "fallback_plan", "execute_step", "finalize"),
        "{'output': 42, 'summary': '1 step done; the result is 42', 'answer': None}",
    ]


def test_the_stored_drawing_is_a_picture_of_the_graph_as_it_is(fresh: Any) -> None:
    """Its fonts may be another machine's; its nodes and edges are not."""
    [drawing] = [cell for cell in stored().cells if cell.id == "drawing"]
    [output] = drawing.outputs
    titles = re.findall(r"<title>(.*?)</title>", output.data["image/svg+xml"])
    edges = {tuple(title.split("&#45;&gt;")) for title in titles if "&#45;&gt;" in title}

    assert edges == edges_of(text(fresh, "drawing"))


def test_an_own_tool_is_planned_and_called(fresh: Any) -> None:
    assert len(sources(fresh)["tool"].split("\n\n\n")[1].splitlines()) <= 5
    assert text(fresh, "tool-run").startswith("6\ncompleted: 1 step done")
    assert [row[1:4] for row in rows(fresh, "tool-run")] == [["count_words", "ok", "1"]]


def test_a_step_that_fails_is_tried_again(fresh: Any) -> None:
    assert [row[1:4] for row in rows(fresh, "retries")] == [["water", "ok", "3"]]
    assert [(row[1], row[4], row[5]) for row in rows(fresh, "retries-log")] == [
        ("1", "error", "the tap is dry"),
        ("2", "error", "still dry"),
        ("3", "ok", "the fern is watered"),
    ]


def test_a_failed_run_goes_on_with_another_input(fresh: Any) -> None:
    assert [row[2:4] for row in rows(fresh, "failed")] == [["ok", "1"], ["error", "1"]]
    assert text(fresh, "retry").startswith("completed: 2 steps done; the result is 2.5")
    assert [row[2:4] for row in rows(fresh, "retry")] == [["ok", "1"], ["ok", "2"]]
    assert [(row[0], row[4]) for row in rows(fresh, "retry-log")] == [
        ("1", "ok"),
        ("2", "error"),
        ("2", "ok"),
    ]


def test_an_edited_plan_is_executed(fresh: Any) -> None:
    assert [row[1] for row in rows(fresh, "plan")] == ["todo_store.add", "todo_store.list"]
    assert text(fresh, "approve").startswith("completed: 2 steps done")
    assert text(fresh, "approved-output") == "['check the sums', 'buy oat milk']"


def test_a_fork_goes_on_from_the_checkpoint(fresh: Any) -> None:
    nodes = [row[1:4] for row in rows(fresh, "history")]

    assert nodes == [
        ["plan", "running", "0"],
        ["fallback_plan", "running", "0"],
        ["execute_step", "running", "1"],
        ["execute_step", "running", "2"],
        ["finalize", "completed", "2"],
    ]
    assert text(fresh, "fork").startswith("45 became 1500")
    assert [row[5] for row in rows(fresh, "fork")] == ["15", "1500"]


def test_the_server_gives_the_same(fresh: Any) -> None:
    assert "serving url=http://127.0.0.1:PORT" in text(fresh, "serve")
    assert text(fresh, "post").startswith("201 45")
    assert [row[1:4] for row in rows(fresh, "post")] == [["calculator", "ok", "1"]] * 2
    assert text(fresh, "same") == "True"
