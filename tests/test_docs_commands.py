"""The pages of `docs/` tell the truth: their commands are run, what they name is looked up."""

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.command import CANNOT_BEGIN, _parser
from api.parameters import LONGEST_WAIT
from api.pulse import HEARTBEAT
from graph.settings import Settings
from tests.curl_examples import TOOLS, normal, replay
from tests.server_process import ROOT, environment, serving

EXAMPLES = (ROOT / "docs" / "api_examples.md").read_text()
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()


def test_every_example_answers_as_printed(tmp_path: Path) -> None:
    """In their order against one server, status and content; ids, times and durations aside."""
    with serving(tmp_path, tools=TOOLS) as server:
        replayed = list(replay(EXAMPLES, server.url))
    assert len(replayed) > 30
    for example in replayed:
        assert normal(example.answered) == normal(example.printed), example.command


async def test_the_examples_have_every_call_that_there_is(app: FastAPI) -> None:
    calls = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    headings = set(re.findall(r"(?m)^### ([A-Z]+ /\S+)$", EXAMPLES))
    assert headings >= calls
    assert headings - calls == {"GET /docs"}


def test_deployment_names_settings_that_there_are_and_log_lines_that_are_written() -> None:
    named = set(re.findall(r"RUNWRIGHT_([A-Z_]+)", DEPLOYMENT))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    sources = "".join(
        path.read_text()
        for layer in ("api", "graph", "nodes")
        for path in (ROOT / layer).rglob("*.py")
    )
    [table] = re.findall(r"(?m)^\| line \|.*\n\| ---.*\n((?:\|.*\n)+)", DEPLOYMENT)
    for line, level in re.findall(r"(?m)^\| `(.+?)` \| (\w+) \|", table):
        calls = "exception|error" if level == "error" else level
        assert re.search(rf'logger\.({calls})\(\s*"[^"]*{line}', sources), line
    assert 'logger.info("run taken up"' in sources


def test_every_command_of_the_pages_is_one_of_runwright() -> None:
    """With the options that they are shown with."""
    blocks = "".join(re.findall(r"```(?:sh|ini|dockerfile)\n(.*?)```", DEPLOYMENT, re.DOTALL))
    commands = set(re.findall(r"(?m)(?:^|/bin/|--rm )runwright ([^#\n]*)", blocks))
    assert {command.split()[0] for command in commands} == {"serve", "doctor", "key", "backup"}
    for command in commands:
        assert _parser().parse_args(shlex.split(command)).command


def test_the_commands_of_deployment_do_what_is_told_beside_a_server(tmp_path: Path) -> None:
    """All that are for a shell and need neither root nor a container."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", DEPLOYMENT, re.DOTALL))
    lines = [line for line in blocks.splitlines() if line.startswith("runwright ")]
    ran: dict[str, str] = {}
    with serving(tmp_path) as server:
        server.settled(server.post("add todo milk"))
        place = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        for line in lines:
            command = line.split("#")[0].strip().replace("/backups", str(tmp_path))
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=ROOT,
                env=environment(tmp_path) | place,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            ran[command] = done.stdout
        served = f"served at {server.url}"

    assert served in ran["runwright doctor"]
    assert json.loads(ran["runwright doctor --json"])["ok"]
    assert re.search(r"rw_\S+", ran["runwright key new alice"])
    [copy] = tmp_path.glob("runwright-????-??-??.db")
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT prompt FROM runs").fetchall() == [("add todo milk",)]


def test_the_service_gives_the_server_the_time_that_it_takes_to_end() -> None:
    [stop] = re.findall(r"(?m)^TimeoutStopSec=(\d+)$", DEPLOYMENT)
    assert int(stop) > Settings().grace
    assert f"RestartPreventExitStatus={CANNOT_BEGIN}\n" in DEPLOYMENT
    [silence] = re.findall(r"proxy_read_timeout (\d+)s", DEPLOYMENT)
    assert int(silence) > LONGEST_WAIT
    assert f"for up to {LONGEST_WAIT} s" in DEPLOYMENT
    assert f"a heartbeat comes every {HEARTBEAT:g} s" in DEPLOYMENT


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_service_file_is_one_that_systemd_reads(tmp_path: Path) -> None:
    [unit] = re.findall(r"```ini\n(\[Unit\].*?)```", DEPLOYMENT, re.DOTALL)
    file = tmp_path / "runwright.service"
    file.write_text(unit.replace("/opt/runwright/bin/runwright", sys.executable))
    read = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


def test_the_versions_that_are_installed_are_those_of_the_constraints() -> None:
    """Its filter leaves the pins and takes what pip cannot check for a folder."""
    [script] = set(re.findall(r"sed -E '([^']+)' constraints\.txt", DEPLOYMENT))
    filtered = subprocess.run(
        ["sed", "-E", script, ROOT / "constraints.txt"], capture_output=True, text=True, check=True
    ).stdout
    pins = re.findall(r"(?m)^([a-z0-9][^ \n]*==[^ \n]+)", (ROOT / "constraints.txt").read_text())
    lines = [line for line in filtered.splitlines() if line.strip() and "#" not in line]
    assert len(lines) == len(pins) > 50
    assert [line.split()[0] for line in lines] == pins
    assert not [line for line in lines if "--hash" in line or line.endswith("\\")]


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in ("api_examples", "deployment", "design_decisions"):
        assert f"(docs/{page}.md)" in readme
