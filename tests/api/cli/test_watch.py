"""`runwright watch`: a run from its first event on, wherever and whenever it is executed."""

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.commands.call import call
from tests.support.servers.commands.process import running
from tests.support.servers.commands.shell import shell_word
from tests.support.servers.server_process import environment, forked, runwright, serving
from tests.support.wording.messages import wording

TOOLS = "examples.flaky:sleep,examples.flaky:fail_times"

TASK = "fail 1 times, then sleep 1 seconds"

STORY = [
    "run ID",
    "plan by pattern (no model is configured): 2 steps",
    "  step 1 fail_times: error in N ms (attempt 1: attempt 1 fails, as asked), again at TIME",
    "  step 1 fail_times: ok in N ms",
    "  step 2 sleep: ok in N ms",
    "{",
    '  "slept": 1.0',
    "}",
]


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


def test_a_run_of_a_server_is_shown_while_it_goes_on_and_afterwards(tmp_path: Path) -> None:
    """The same lines, whenever one comes; by the database's server or by its address."""
    with serving(tmp_path, tools=TOOLS) as server:
        run_id = server.post(TASK)
        with running("watch", run_id, folder=tmp_path) as command:
            assert command.ended() == 0
        with running("watch", run_id, folder=tmp_path) as again:
            assert again.ended() == 0
        elsewhere = tmp_path / "elsewhere"
        with running("watch", run_id, "--url", server.url, folder=elsewhere) as afar:
            assert afar.ended() == 0
    assert command.lines == again.lines == afar.lines == STORY
    assert command.run_id == run_id
    assert command.complaints + again.complaints + afar.complaints == ""
    assert not elsewhere.exists()


def test_a_settled_run_is_shown_without_a_server(tmp_path: Path) -> None:
    """From the file; nothing else in it is touched, and no tool has to be there."""
    done = call("run", TASK, folder=tmp_path, tools=TOOLS)
    run_id = done.stdout.split()[1]
    shown = runwright("watch", run_id, folder=tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, done.stdout, "")


def test_a_failed_run_is_shown_and_exits_with_1(tmp_path: Path) -> None:
    """As the run itself did."""
    done = call("run", "what's the capital of France", folder=tmp_path)
    shown = call("watch", done.stdout.split()[1], folder=tmp_path)
    assert (shown.returncode, shown.stdout) == (1, done.stdout)


def test_a_run_that_nothing_executes_is_not_waited_for(tmp_path: Path) -> None:
    """One line says so, and what would; the run stays as it is."""
    with serving(tmp_path, tools=TOOLS) as server:
        run_id = server.post("sleep 3600 seconds")
        server.until(run_id, lambda run: run["current"])
        server.kill()
    done = call("watch", run_id, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    left = wording("terminal.watch.left", run_id=run_id, status="running")
    assert done.stderr == f"{left}\n"


UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """With a server and without."""
    asked = (UNKNOWN, "nonsense", "../health")
    with serving(tmp_path) as server:
        there = [call("watch", run_id, folder=tmp_path) for run_id in asked]
        server.terminate()
    here = [call("watch", run_id, folder=tmp_path) for run_id in asked]
    assert {done.returncode for done in (*there, *here)} == {2}
    for done in there:
        [line] = done.stderr.splitlines()
        assert wording("terminal.server.refused", detail="") in line
    for run_id, done in zip(asked, here, strict=True):
        [line] = done.stderr.splitlines()
        assert line == wording("terminal.watch.no-run", run_id=run_id)


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    """Nothing was mistyped into being."""
    done = call("watch", UNKNOWN, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == wording("terminal.watch.no-database", folder=tmp_path) + "\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "settings", "key"),
    [
        (["--url", "localhost:8000"], {}, "terminal.watch.url"),
        (["--url", "http://"], {}, "terminal.watch.url"),
        (["--url", "http://[::1"], {}, "terminal.watch.url"),
        ([], {"database_url": "memory://"}, "terminal.watch.memory"),
        ([], {"database_url": "mysql://x"}, "storage.url"),
    ],
)
def test_what_cannot_be_watched_is_one_line(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], key: str
) -> None:
    """It says what would be right."""
    done = call("watch", UNKNOWN, *arguments, folder=tmp_path, **settings)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    said = wording(key).replace("localhost:8000", "".join(arguments[1:]))
    assert line.endswith(said.replace("<url>", "'mysql://x'"))


def test_the_run_of_another_command_is_watched_there(tmp_path: Path) -> None:
    """A `runwright run` has the file and answers nobody."""
    with running("run", "sleep 3600 seconds", folder=tmp_path, tools=TOOLS) as command:
        done = call("watch", command.run_id, folder=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line == wording("terminal.watch.owned", folder=tmp_path, pid=command.process.pid)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_restart_of_the_server_is_sat_out(tmp_path: Path, end: str) -> None:
    """Each event is shown once, whichever server told it."""
    tools = f"{TOOLS},{GATE}"
    settings = {"tools": tools, "port": free_port(), "grace": "1", "backoff": "600"}
    task = "fail 1 times, then pass gate one, then 2 + 2"
    with serving(tmp_path, **settings) as server:
        run_id = server.post(task)
        with running("watch", run_id, folder=tmp_path, **settings) as command:
            command.until("again at")
            server.end_backoff(run_id)
            command.until("step 1 fail_times: ok")
            getattr(server, end)()
            with serving(tmp_path, **settings) as server:
                server.open_gate("one")
                assert command.ended() == 0
    assert command.lines == [
        "run ID",
        wording("terminal.plan").replace("2 steps", "3 steps"),
        *STORY[2:4],
        wording("terminal.taken-up"),
        "  step 2 gate: ok in N ms",
        "  step 3 calculator: ok in N ms",
        "4",
    ]
    assert set(command.complaints.splitlines()) <= {
        "runwright: " + wording("terminal.server.away", url=server.url)
    }


def test_a_terminal_shows_what_is_going_on_just_now(tmp_path: Path) -> None:
    """The wait counts down, the attempt counts up, and in the end only the lines are left."""
    with serving(tmp_path, tools=f"{TOOLS},{GATE}", backoff="600") as server:
        run_id = server.post("fail 1 times, then pass gate one")
        with running("watch", run_id, folder=tmp_path, terminal=True) as command:

            def seconds(what: str) -> list[int]:
                told = re.findall(rf"[⠀-⣿] {what} (?:(\d+) min )?(\d+) s", command.shown)
                return [60 * int(minutes or 0) + int(seconds) for minutes, seconds in told]

            wait_until(lambda: len(set(seconds("step 1 fail_times, attempt 2 in"))) > 1)
            server.end_backoff(run_id)
            wait_until(lambda: len(set(seconds("step 2 gate,"))) > 1)
            server.open_gate("one")
            assert command.ended() == 0
    waits, continues = seconds("step 1 fail_times, attempt 2 in"), seconds("step 2 gate,")
    assert waits == sorted(waits, reverse=True)
    assert continues == sorted(continues)
    assert [said for said in command.lines if not re.match(r"[⠀-⣿]|$", said)] == [
        *STORY[:4],
        "  step 2 gate: ok in N ms",
        "one",
    ]
    assert command.output.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


def test_a_terminal_shows_that_the_run_is_being_cancelled(tmp_path: Path) -> None:
    """The note is among the lines, and the cursor is there again at the end."""
    task = "sleep 3600 seconds"
    with running("run", task, folder=tmp_path, tools=TOOLS, terminal=True) as command:
        command.until(r"step 1 sleep, \d+ s")
        command.interrupt()
        assert command.ended() == 1
    assert wording("terminal.ctrl-c") in command.lines
    cancelled = wording("runs.cancelled.step", tool="sleep")
    assert cancelled.replace("1 of 3", "0 of 1").replace("step 2", "step 1") in command.lines
    assert "\x1b[?25h" in command.output


def test_log_lines_do_not_cut_through_what_is_drawn(tmp_path: Path) -> None:
    """They are lines among the others."""
    with running(
        "run",
        "sleep 1 seconds",
        folder=tmp_path,
        tools=TOOLS,
        terminal=True,
        log_level="debug",
    ) as command:
        assert command.ended() == 0
    assert "  step 1 sleep: ok in N ms" in command.lines
    logged = [said for said in command.lines if "info run completed" in said]
    assert logged
    assert all(said.startswith("TIME ") for said in logged)


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_a_terminal_without_a_cursor_gets_plain_lines(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    """As rich has it."""
    command = [*shlex.split(shell_word()), "run", "2 + 2"]
    done = subprocess.run(
        [sys.executable, "-c", f"import pty, sys; sys.exit(pty.spawn({command}) >> 8)"],
        cwd=ROOT,
        env=environment(tmp_path) | {"TERM": "xterm"} | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1] == "4"


def test_the_lines_of_a_watch_that_nobody_reads_are_no_traceback(tmp_path: Path) -> None:
    """As in `runwright watch … | head -1`; the run goes on."""
    with serving(tmp_path, tools=TOOLS, backoff="600") as server:
        run_id = server.post("fail 1 times, then 2 + 2")
        server.until(run_id, lambda run: run["current"] and run["current"]["not_before"])
        with forked(
            "watch", run_id, folder=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        ) as command:
            assert command.stdout is not None
            assert command.stdout.readline() == f"run {run_id}\n"
            command.stdout.close()
            server.end_backoff(run_id)  # of which there are lines
            assert command.stderr is not None
            assert command.stderr.read() == ""
        assert command.returncode == 141
        assert server.settled(run_id)["status"] == "completed"
