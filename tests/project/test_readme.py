"""The README tells the truth: its commands are run, its tables and drawing compared."""

import json
import re
from pathlib import Path

import pytest

from graph.build import build_graph
from graph.compose import open_tools
from graph.settings import Settings
from graph.telemetry.server import draw
from tests.support import pages
from tests.support.checkout import ROOT
from tests.support.models.llm_runs import models, plan_text
from tests.support.models.stream_server import stream_server
from tests.support.pages import blocks, contains, curl, examples, printed_by
from tests.support.pages import without_numbers_of_the_day as same
from tests.support.servers.server_process import runwright, serving

README = pages.README.read_text()

#: Every ```console block: its command and what it printed.
EXAMPLES = examples(README)

HTTP_EXAMPLES = [example for example in EXAMPLES if example[0].startswith("curl")]
COMMANDS = [example for example in EXAMPLES if not example[0].startswith("curl")]


def test_posting_and_reading_a_run_answers_as_printed(tmp_path: Path) -> None:
    """The call over HTTP, against a real server."""
    [(call, record)] = HTTP_EXAMPLES
    with serving(tmp_path) as server:
        place = server.url.removeprefix("http://")
        whole = curl(call.replace("localhost:8000", place))
    assert contains(json.loads(whole), json.loads(record))


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=lambda text: text[:40])
def test_the_command_prints_what_the_readme_says(
    tmp_path: Path, command: str, printed: str
) -> None:
    """Each further command, in a folder of its own."""
    assert same(printed_by(command, tmp_path)) == same(printed)


def test_every_door_opens_as_it_says(tmp_path: Path) -> None:
    """The terminal's here; the others have pages of their own, whose examples are run."""
    [command] = re.findall(r"\*\*Terminal\*\*: `(.*?)`", README)
    assert printed_by(command, tmp_path).endswith("\n300\n")
    [notebook] = re.findall(r"\*\*Notebook\*\*: `(.*?)`", README)
    assert (ROOT / notebook).exists()
    targets = re.findall(r"\*\*(?:HTTP|LangGraph Studio)\*\*: `make (\w+)`", README)
    assert targets == ["run", "studio"]


def test_its_model_is_set_up_as_on_the_page_about_models() -> None:
    """Where a test tries each of these setups at a server of ours."""
    page = (pages.DOCS / "multi_provider_llm.md").read_text()
    [block] = [block for block in blocks(README, "sh") if "RUNWRIGHT_MODELS" in block]
    assert len(assigned(block)) == 2
    assert assigned(block) in [assigned(setup) for setup in blocks(page, "sh")]


#: The runs of the two conversations: the thread, the task, and what is printed.
TALK = [
    (thread, task, printed.splitlines())
    for block in blocks(README, "text")
    for thread, task, printed in re.findall(
        r'> \.venv/bin/runwright run --thread (\w+) "(.*)"\n((?:[^>\n].*\n)+)', block
    )
]
WITH_A_MODEL, WITHOUT = TALK[:2], TALK[2:]

#: What the model plans in the first one.
PLANS = (
    plan_text(("todo_store.add", {"text": "milk"})),
    plan_text(("todo_store.add", {"text": "eggs"}), ("todo_store.list", {})),
)


def test_with_a_model_it_talks_as_printed(tmp_path: Path) -> None:
    """What the model says is ours here; how it is shown, and what is counted beside it, is not."""
    for (thread, task, printed), plan in zip(WITH_A_MODEL, PLANS, strict=True):
        with stream_server(plan, re.findall(r"\S+\s*", printed[0])) as provider:
            provider.let(100)
            done = runwright(
                *("run", "--thread", thread, task),
                folder=tmp_path,
                models=models(("openai/gpt-5-mini", provider.url)),
                model_timeout="600",
            )
        assert done.stdout.splitlines()[-len(printed) :] == printed, done.stderr


def test_without_one_it_talks_as_printed(tmp_path: Path) -> None:
    assert len(WITHOUT) == 2
    for thread, task, printed in WITHOUT:
        done = runwright("run", "--thread", thread, task, folder=tmp_path)
        assert done.stdout.splitlines()[-len(printed) :] == printed, done.stderr


def assigned(block: str) -> set[str]:
    """The variables that a block of commands sets, with their values."""
    return set(re.findall(r"\b[A-Z_]+=\S+", block))


def test_the_drawing_is_the_graph() -> None:
    """What `GET /graph` answers, to the letter but for its style."""
    [drawing] = blocks(README, "mermaid")
    assert drawing == without_style(draw(build_graph(open_tools(Settings()))).mermaid)


def without_style(mermaid: str) -> str:
    """The drawing without the settings in front, the classes of nodes and what they look like."""
    text = mermaid[mermaid.index("graph TD;") :]
    return re.sub(r":::\w+|\tclassDef .*\n", "", text)


def test_every_room_of_every_package_is_named() -> None:
    """None is missing in the table of folders, none is left over."""
    named = {
        package.strip("`/"): set(re.findall(r"`(\w+)/`", told))
        for package, told in pages.rows(README, "folder")
    }
    rooms = {
        package: {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        for package in ("api", "graph", "nodes", "tools")
    }
    assert named == rooms


def test_the_two_commands_come_within_the_first_twelve_lines() -> None:
    """A reader who has just cloned it sees them without scrolling."""
    first = README.splitlines()[:12]
    assert any(line.startswith("make run") for line in first)
    assert any(line.startswith("make test") for line in first)


def test_it_is_a_page_of_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150
