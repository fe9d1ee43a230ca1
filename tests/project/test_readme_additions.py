"""What the README shows under "Add to it" works: each addition is made in a copy, and tried there.

The files' names, the code and what is asked afterwards are taken from the README.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import pages
from tests.support.checkout import copy_compiled, packed_checkout
from tests.support.servers.server_process import ServerProcess, environment, serving

SECTION = pages.README.read_text().split("## Add to it\n")[1].split("\n## ")[0]
[CODE] = pages.blocks(SECTION, "python")
[WIRING] = pages.blocks(SECTION, "diff")

#: The files with new code, and those that are changed line by line, in the order of the README.
NEW = re.findall(r"(?ms)^# (\S+\.py)(, at its end)?\n(.*?)\s*(?=^# \S+\.py|\Z)", CODE)
CHANGED = re.findall(r"(?ms)^--- (\S+)\n(.*?)(?=^--- |\Z)", WIRING)


class Copy:
    """A copy of the checkout, in which the additions below some folders are made."""

    def __init__(self, folder: Path, *packages: str) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        subprocess.run(["tar", "-x"], cwd=self.folder, input=packed_checkout(), check=True)
        copy_compiled(self.folder)
        self.changed: list[str] = []
        for name, at_end, code in NEW:
            if name.startswith(packages):
                self._write(name, code, at_end=bool(at_end))
        for name, lines in CHANGED:
            if name.startswith(packages):
                self._change(name, lines.splitlines())

    def _write(self, name: str, code: str, *, at_end: bool) -> None:
        """Make a file, or add to the end of one that is there."""
        path = self.folder / name
        assert path.exists() == at_end, name
        before = path.read_text() + "\n\n" if at_end else ""
        path.write_text(f"{before}{code}\n")
        self.changed.append(name)

    def _change(self, name: str, told: list[str]) -> None:
        """Put `+` lines where the lines before them say, which occur once; take `-` lines away."""
        path = self.folder / name
        lines = path.read_text().splitlines()
        at = 0
        for sign, line in ((line[0], line[1:]) for line in told):
            if sign != "+":
                assert lines.count(line) == 1, f"{line!r} in {name}"
                at = lines.index(line)
            if sign == "-":
                del lines[at]
            elif sign == "+":
                lines.insert(at, line)
            at += sign != "-"
        path.write_text("\n".join(lines) + "\n")
        self.changed.append(name)

    def record(self, task: str) -> dict[str, object]:
        """The record of a task that `runwright run` was given there."""
        done = subprocess.run(
            [sys.executable, "-m", "api", "run", "--json", task],
            cwd=self.folder,
            env=environment(self.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    @contextmanager
    def serving(self) -> Iterator[ServerProcess]:
        """A server of the copy."""
        command = f"cd {self.folder} && exec {sys.executable} -m api serve"
        with serving(self.folder, ["bash", "-c", command]) as server:
            yield server

    def check(self) -> None:
        """It is written as `make lint` wants it."""
        for command in ("check", "format --check"):
            subprocess.run(
                [sys.executable, "-m", "ruff", *command.split(), *self.changed],
                cwd=self.folder,
                check=True,
            )


def asked(pattern: str) -> tuple[str, ...]:
    """What the README says of an addition."""
    found = re.search(pattern, " ".join(SECTION.split()))
    assert found
    return found.groups()


def defined(copy: Copy) -> str:
    """The function that is new."""
    code = (copy.folder / copy.changed[0]).read_text()
    return re.findall(r"(?m)^(?:async )?def (\w+)", code)[-1]


def test_a_tool_is_a_file_and_its_line_and_is_planned_and_executed(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "tools/")
    task, printed = asked(r'`runwright run "([^"]+)"` prints `([^`]+)`')
    record = copy.record(task)

    assert len(copy.changed) == 2
    assert record["status"] == "completed"
    log = record["execution_log"]
    assert isinstance(log, list)
    assert [(step["tool"], step["status"], str(step["output"])) for step in log] == [
        (defined(copy), "ok", printed)
    ]
    copy.check()


@pytest.mark.slow  # as are other copies than the first
def test_a_node_is_a_file_and_its_wiring_and_is_drawn_and_visited(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "nodes/", "graph/")
    [task] = asked(r'`runwright run "([^"]+)"` adds a to-do')
    node = defined(copy)
    with copy.serving() as server:
        drawing = server.client.get("/graph").text
        record = server.client.post("/runs/wait", json={"prompt": task}).json()
        history = server.client.get(f"/runs/{record['run_id']}/history").json()

    assert len(copy.changed) == 2
    assert f"\t{node}({node})\n" in drawing
    assert node in [checkpoint["node"] for checkpoint in history["checkpoints"]]
    assert record["status"] == "completed"
    assert [step["tool"] for step in record["plan"]["steps"]] == ["todo_store.add"]
    copy.check()


@pytest.mark.slow
def test_a_route_is_a_function_and_answers(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "api/")
    [path] = asked(r"answers `GET (\S+)`")
    with copy.serving() as server:
        answer = server.client.get(path)
        described = server.client.get("/openapi.json").json()["paths"]

    assert len(copy.changed) == 1
    assert (answer.status_code, answer.json()) == (200, {"version": version("runwright")})
    assert path in described
    copy.check()


def test_every_addition_is_tried() -> None:
    """None is for a folder that the tests above pass over."""
    folders = {name.partition("/")[0] for name, *_ in (*NEW, *CHANGED)}
    assert folders == {"tools", "nodes", "graph", "api"}
    assert len(NEW) == CODE.count("\n# ") + 1
