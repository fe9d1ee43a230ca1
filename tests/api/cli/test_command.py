"""The `runwright` command as a person at a terminal meets it."""

import json
import re
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from graph.storage.sqlite.schema import VERSION
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience
from tests.support.servers.commands.call import call
from tests.support.servers.server_process import forked, runwright, serving
from tests.support.wording.messages import wording


def test_a_task_is_run_here_with_its_steps_and_its_result(tmp_path: Path) -> None:
    """The last line is the answer itself."""
    done = runwright("run", "what is (41*7)+13", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    words = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", re.sub(r"in \d+ ms", "in N ms", done.stdout))
    assert words.splitlines() == [
        "run ID",
        wording("terminal.plan").replace("2 steps", "1 step"),
        wording("terminal.step.ok").replace("flaky", "calculator").replace("12", "N"),
        "300",
    ]


def test_a_refused_task_exits_with_1_and_says_what_is_understood(tmp_path: Path) -> None:
    """The words that were not understood, and examples of what is."""
    done = call("run", "what's the capital of France", folder=tmp_path)
    assert done.returncode == 1
    assert "capital of France" in done.stdout
    assert len(done.stdout.splitlines()) > 2  # examples


def test_json_prints_the_whole_record_and_nothing_else(tmp_path: Path) -> None:
    """For scripts: the same record as over HTTP."""
    done = call("run", "2 + 2", "--json", folder=tmp_path)
    record = json.loads(done.stdout)
    assert record["result"]["output"] == 4
    assert record["created_at"].endswith("Z")


def test_beside_a_live_server_the_task_is_posted_to_it(tmp_path: Path) -> None:
    """One process owns the file; the command uses it instead of failing."""
    with serving(tmp_path) as server:
        done = runwright("run", "2 + 2", folder=tmp_path)
        listed = server.client.get("/runs").json()["runs"]
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "4")
    assert [run["prompt"] for run in listed] == ["2 + 2"]


def test_a_task_run_here_leaves_other_runs_alone(tmp_path: Path) -> None:
    """Runs that a server left are taken up by the next server, not by a passing command."""
    with serving(tmp_path, tools=GATE) as server:
        run_id = server.post("pass gate one, then 2 + 2")
        server.until(run_id, lambda run: run["current"])
        server.kill()
    assert call("run", "1 + 1", folder=tmp_path).returncode == 0
    with serving(tmp_path, tools=GATE) as server:
        server.open_gate("one")
        record = server.settled(run_id)
    assert record["status"] == "completed"
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]


def test_a_second_server_on_the_file_names_the_first(tmp_path: Path) -> None:
    """One line: the file, the address of its owner, what to do."""
    with serving(tmp_path) as server:
        second = runwright("serve", folder=tmp_path)
    assert second.returncode == 2
    [line] = second.stderr.splitlines()
    assert server.url in line
    assert "RUNWRIGHT_DATABASE_URL" in line


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """It names the address and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = call("serve", "--port", port, folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:////proc/none/runs.db", "/proc/none/runs.db"),
        ("mysql://localhost/runs", "'mysql://localhost/runs'"),
        ("sqlite:///", "'sqlite:///'"),
    ],
)
def test_an_unusable_database_is_one_line(tmp_path: Path, url: str, named: str) -> None:
    """It says what is wrong with it and what would be right."""
    done = call("serve", folder=tmp_path, database_url=url)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert named in line
    assert "RUNWRIGHT_DATABASE_URL" in line


def test_a_file_that_is_no_database_is_one_line_and_stays_as_it_was(tmp_path: Path) -> None:
    """Somebody's text file is not overwritten."""
    path = tmp_path / "runs.db"
    path.write_text("dear diary, " * 1000)
    done = call("serve", folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert str(path) in line
    assert path.read_text() == "dear diary, " * 1000


def test_another_programs_database_is_one_line_and_stays_as_it_was(tmp_path: Path) -> None:
    """Nobody wants our tables among their own."""
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = (tmp_path / "runs.db").read_bytes()
    done = call("serve", folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert wording("storage.foreign", path=tmp_path / "runs.db") in line
    assert (tmp_path / "runs.db").read_bytes() == before


def test_a_newer_database_is_one_line(tmp_path: Path) -> None:
    """It is not touched by a program that does not know its tables."""
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = call("serve", folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    newer = wording("storage.newer", path=tmp_path / "runs.db", version=99, known=VERSION)
    assert newer in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"port": "http"}, "RUNWRIGHT_PORT=http"),
        ({"step_timeout": "-1"}, "RUNWRIGHT_STEP_TIMEOUT=-1"),
        ({"log": "xml"}, "RUNWRIGHT_LOG=xml"),
        ({"tools": "nowhere:nothing"}, "nowhere"),
        ({"tools": "examples.flaky"}, "module:function"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(
    tmp_path: Path, settings: dict[str, str], expected: str
) -> None:
    """The name, the value, and what is allowed."""
    done = call("serve", folder=tmp_path, **settings)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert expected in line


def test_a_server_that_dies_under_the_command_does_not_make_it_forget_the_run(
    tmp_path: Path,
) -> None:
    """The task was accepted: posting it again would do it twice."""
    with (
        serving(tmp_path, tools="examples.flaky:sleep") as server,
        forked(
            "run",
            "sleep 3600 seconds",
            folder=tmp_path,
            env={"WAIT_SERVER": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as command,
    ):
        assert command.stdout is not None
        assert command.stdout.readline().startswith("run ")
        [run] = server.client.get("/runs").json()["runs"]
        server.kill()
        _, complaint = command.communicate(timeout=patience())
    assert command.returncode == 3
    assert wording("terminal.lost", run_id=run["run_id"]) in complaint


def test_output_that_nobody_reads_is_no_traceback(tmp_path: Path) -> None:
    """As in `runwright run … | head -c 3`."""
    with forked(
        "run",
        "add 3 tasks: eggs, bread, and butter",
        "--json",
        folder=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.stderr is not None
        complaint = command.stderr.read()
    assert complaint == ""
    assert command.returncode == 141


def test_a_task_is_given_options_here_and_on_a_server_and_found_by_them(tmp_path: Path) -> None:
    """The same as over HTTP, the refusal too."""
    options = ("--tool", "calculator", "--metadata", "team:red", "--metadata", "n:a:b")
    here = call("run", "2 + 2", *options, "--json", folder=tmp_path)
    refused = call("run", "2 + 2", "--tool", "fly", folder=tmp_path)
    no_pair = call("run", "2 + 2", "--metadata", "red", folder=tmp_path)
    with serving(tmp_path):
        there = call("run", "2 + 2", *options, "--json", folder=tmp_path)
        listed = call("list", "--metadata", "n:a:b", "--json", folder=tmp_path)
        refused_there = call("run", "2 + 2", "--tool", "fly", folder=tmp_path)
    by_itself = call("list", "--metadata", "team:blue", "--json", folder=tmp_path)
    for done in (here, there):
        record = json.loads(done.stdout)
        assert record["choice"]["tools"] == ["calculator"]
        assert record["metadata"] == {"n": "a:b", "team": "red"}
    assert json.loads(listed.stdout)["total"] == 2
    assert json.loads(by_itself.stdout)["total"] == 0
    assert refused.returncode == refused_there.returncode == no_pair.returncode == 2
    assert "there is no tool 'fly'" in refused.stderr
    assert "there is no tool 'fly'" in refused_there.stderr
    assert "key:value" in no_pair.stderr
