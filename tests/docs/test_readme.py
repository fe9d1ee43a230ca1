"""The README tells the truth: its commands are run, its tables and drawing compared."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graph.build import build_graph
from graph.compose import open_tools
from graph.drawing import draw
from graph.settings import Settings
from tests.support.checkout import ROOT
from tests.support.servers.server_process import environment, serving

README = (ROOT / "README.md").read_text()

#: The ten prompts that it proposes.
PROMPTS = re.findall(r"```text\n(.*?)```", README, re.DOTALL)[0].splitlines()

#: Every ```console block: its command and what it printed.
EXAMPLES = [
    (command.replace("\\\n", " "), printed)
    for command, printed in re.findall(
        r"```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", README, re.DOTALL
    )
]


HTTP_EXAMPLES = [example for example in EXAMPLES if example[0].startswith("curl")]
COMMANDS = [example for example in EXAMPLES if not example[0].startswith("curl")]


def contains(whole: Any, part: Any) -> bool:
    """Whether a shortened value agrees with the whole one."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def without_numbers_of_the_day(text: str) -> str:
    """Times, durations, ids and dates differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"(?m)^date: .*$", "date: DATE", text)
    return re.sub(r"in \d+ ms", "in N ms", text)


def test_posting_and_reading_a_run_answers_as_printed(tmp_path: Path) -> None:
    """The calls over HTTP, against a real server."""
    (post, posted), (read, record), (stream, streamed) = HTTP_EXAMPLES
    with serving(tmp_path) as server:
        place = server.url.removeprefix("http://")
        answer = curl(post.replace("localhost:8000", place))
        assert without_numbers_of_the_day(answer) == without_numbers_of_the_day(posted)
        [run_id] = re.findall(r"location: /runs/(\S+)", answer)
        server.settled(run_id)
        [printed_id] = re.findall(r"runs/(\S+)", read)
        whole = curl(read.replace("localhost:8000", place).replace(printed_id, run_id))
        told = curl(stream.replace("localhost:8000", place).replace(printed_id, run_id))
    assert contains(json.loads(whole), json.loads(record))
    assert without_numbers_of_the_day(told).startswith(without_numbers_of_the_day(streamed))


def test_each_of_the_ten_prompts_is_done_without_a_model(tmp_path: Path) -> None:
    """In the order of the page, on one to-do list."""
    assert len(PROMPTS) == 10
    with serving(tmp_path) as server:
        records = [server.settled(server.post(prompt)) for prompt in PROMPTS]
    assert [record["status"] for record in records] == ["completed"] * 10


def curl(command: str) -> str:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    return done.stdout.replace("\r", "").strip() + "\n"


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=lambda text: text[:40])
def test_the_command_prints_what_the_readme_says(
    tmp_path: Path, command: str, printed: str
) -> None:
    """Each further command, in a folder of its own."""
    words = shlex.split(command)
    settings = dict(word.split("=", 1) for word in words if word.startswith("RUNWRIGHT_"))
    arguments = words[words.index(".venv/bin/runwright") + 1 :]
    done = subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        cwd=ROOT,
        env={**environment(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert without_numbers_of_the_day(done.stdout) == without_numbers_of_the_day(printed)


def test_the_drawing_is_the_graph() -> None:
    """To the letter: it is what `GET /graph` answers."""
    [drawing] = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert drawing == draw(build_graph(open_tools(Settings()))).mermaid


def test_every_setting_is_in_the_table_with_its_default() -> None:
    """No setting is missing, none is left over."""
    rows = re.findall(r"\| `RUNWRIGHT_(\w+)` \| (.*?) \| (.*?) \|", README)
    described = {
        (name.upper(), _shown(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert set(rows) == described


def _shown(default: object) -> str:
    return "none" if default in ((), None, {}) else f"`{default}`"


def test_the_two_commands_come_within_the_first_twelve_lines() -> None:
    """A reader who has just cloned it sees them without scrolling."""
    first = README.splitlines()[:12]
    assert any(line.startswith("make run") for line in first)
    assert any(line.startswith("make test") for line in first)


def test_it_leads_to_every_page() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README
