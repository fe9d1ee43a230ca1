"""`runwright mcp`, started by the SDK's own client, alone and beside a server of the database."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from graph.settings.configured import new_key
from tests.support.checkout import ROOT
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import patience, until, wait_until
from tests.support.servers.commands.call import call
from tests.support.servers.forks.forked import Forked
from tests.support.servers.mcp_client import ERAS, message, refused, started, told
from tests.support.servers.server_process import environment, forked, runwright, serving

KEY, KEPT = new_key("alice")
OTHER, OTHERS = new_key("bob")

#: The command as users have it; others are forked, which takes a tenth of the time.
STARTED = [sys.executable, "-m", "api"]

each_era = pytest.mark.parametrize("era", ERAS)


def listed(folder: Path, **settings: str) -> list[dict[str, Any]]:
    """The runs of a database, or of its server."""
    done = runwright("list", "--json", folder=folder, **settings)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["runs"])


@pytest.mark.parametrize(
    ("era", "command"),
    [("auto", None), ("legacy", None), pytest.param("auto", STARTED, marks=pytest.mark.slow)],
    ids=["auto", "legacy", "started"],
)
async def test_without_a_server_it_does_the_runs_itself(
    tmp_path: Path, era: str, command: list[str] | None
) -> None:
    steps: list[float] = []

    async def note(done: float, *_: object) -> None:
        steps.append(done)

    task = {"prompt": "calculate 10 + 5, and then multiply it by 3"}
    async with started(tmp_path, era, command=command) as client:
        report = told(await client.call_tool("run", task, progress_callback=note))
        read = await client.read_resource(report["uri"])
        long = await client.call_tool("run", {"prompt": "x" * 5_000_000})

    assert (report["result"]["output"], report["url"], steps) == (45, None, [0, 1, 2])
    assert json.loads(read.contents[0].text)["run_id"] == report["run_id"]  # type: ignore[union-attr]
    assert "5000000 characters" in refused(long)
    assert [run["run_id"] for run in listed(tmp_path)] == [report["run_id"]]


@each_era
async def test_beside_a_server_it_asks_that(tmp_path: Path, era: str) -> None:
    steps: list[float] = []

    async def note(done: float, *_: object) -> None:
        steps.append(done)
        if done == 1:
            server.open_gate("seen")

    with serving(tmp_path, api_keys=f"{KEPT},{OTHERS}", tools=GATE) as server:
        server.client.headers["x-api-key"] = KEY
        async with started(tmp_path, era, api_key=KEY) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            task = {"prompt": "calculate 1 + 2, and then multiply it by 3"}
            report = told(await client.call_tool("run", task))
            read = await client.read_resource(report["uri"])
            [resource] = (await client.list_resources()).resources
            [template] = (await client.list_resource_templates()).resource_templates
            empty = await client.call_tool("run", {"prompt": " "})
            with pytest.raises(MCPError, match="no tool 'x'"):
                await client.call_tool("x", {})
            with pytest.raises(MCPError, match="No run has the id"):
                await client.read_resource("run://none")
            watched = {"prompt": "calculate 1 + 2, then pass gate seen"}
            await client.call_tool("run", watched, progress_callback=note)
            calling = asyncio.create_task(client.call_tool("run", {"prompt": "pass gate relayed"}))
            gated = await until(lambda: _begun(server.client.get("/runs").json()["runs"]))
            calling.cancel()
            await asyncio.wait([calling])
            await until(lambda: server.get(gated)["status"] == "cancelled")
        async with started(tmp_path, era, api_key=OTHER) as client:
            foreign = await client.call_tool("get_run", {"run_id": report["run_id"]})

    assert "run" in names
    # What comes together with the answer is not waited for.
    assert (report["result"]["output"], steps[:2]) == (9, [0, 1])
    assert report["url"] == f"{server.url}/runs/{report['run_id']}"
    assert json.loads(read.contents[0].text)["owner"] == "alice"  # type: ignore[union-attr]
    assert (str(resource.uri), template.uri_template) == (report["uri"], "run://{id}")
    assert "prompt is empty" in refused(empty)
    assert "No run has the id" in refused(foreign)


def _begun(runs: list[dict[str, Any]]) -> str:
    """The id of the run at the gate, once it is executed."""
    ids = [run["run_id"] for run in runs if run["status"] == "running"]
    return ids[0] if ids else ""


async def test_the_server_may_come_back_between_two_calls(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        port = first.url.rpartition(":")[2]
        async with started(tmp_path) as client:
            report = told(await client.call_tool("run", {"prompt": "calculate 1 + 1"}))
            first.terminate()
            away = await client.call_tool("get_run", {"run_id": report["run_id"]})
            with pytest.raises(MCPError, match="does not answer"):
                await client.read_resource(report["uri"])
            with serving(tmp_path, port=port):
                back = await client.call_tool("get_run", {"run_id": report["run_id"]})

    assert f"the server at {first.url} does not answer (ConnectError)" in refused(away)
    assert told(back)["result"]["output"] == 2


async def test_what_the_server_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with serving(tmp_path, api_keys=str(KEPT)) as server:
        async with started(tmp_path, "auto", "--url", server.url, api_key=OTHER) as client:
            wrong = await client.call_tool("run", {"prompt": "calculate 1 + 1"})
            with pytest.raises(MCPError, match="none of this server's"):
                await client.read_resource("run://x")
        async with started(tmp_path, "auto", "--url", server.url, api_key=KEY) as client:
            large = await client.call_tool("run", {"prompt": "x" * 70_000})
            right = await client.call_tool("run", {"prompt": "calculate 1 + 1"})

    assert "the server refused: The key is none of this server's." in refused(wrong)
    assert "65,536 bytes" in refused(large)
    assert told(right)["result"]["output"] == 2


async def test_nothing_is_sent_to_what_does_not_prove_to_be_the_server(tmp_path: Path) -> None:
    """The note names an address where by now somebody else may listen."""
    with serving(tmp_path) as server:
        note = tmp_path / "runs.db.owner"
        kept = note.read_text()
        note.write_text(json.dumps({**json.loads(kept), "secret": "another"}))
        async with started(tmp_path) as client:
            answer = await client.call_tool("run", {"prompt": "calculate 1 + 1"})
        note.write_text(kept)
        assert server.client.get("/runs").json()["runs"] == []

    assert "does not prove that it is the server" in refused(answer)


@each_era
async def test_a_call_that_is_given_up_cancels_its_run(tmp_path: Path, era: str) -> None:
    planned = asyncio.Event()

    async def note(*_: object) -> None:
        planned.set()

    async with started(tmp_path, era, tools=GATE) as client:
        task = {"prompt": "pass gate given-up"}
        calling = asyncio.create_task(client.call_tool("run", task, progress_callback=note))
        await planned.wait()
        calling.cancel()
        await asyncio.wait([calling])
        [resource] = (await client.list_resources()).resources
        named = {"run_id": str(resource.name), "wait": 60}
        assert told(await client.call_tool("get_run", named))["status"] == "cancelled"


def spawned(folder: Path, **settings: str) -> Forked:
    """The command in a process of its own, to be talked to by hand."""
    pipe = subprocess.PIPE
    return forked("mcp", folder=folder, stdin=pipe, stdout=pipe, stderr=pipe, **settings)


def send(process: Forked, *bodies: object) -> None:
    """Write messages, each a line."""
    assert process.stdin is not None
    for body in bodies:
        process.stdin.write((body if isinstance(body, str) else json.dumps(body)) + "\n")
    process.stdin.flush()


def calling(
    tool: str, *, number: int = 1, token: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """A call of a tool by a client of 2026."""
    called = {"name": tool, "arguments": arguments}
    return message("auto", "tools/call", number=number, token=token, **called)[1]


def begin(process: Forked, prompt: str) -> None:
    """Call `run`, and return when the run is planned."""
    send(process, calling("run", token="first", prompt=prompt))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["params"]["message"] == "planned 1 step"


def test_only_messages_come_out_whatever_goes_in(tmp_path: Path) -> None:
    """Neither what is logged, nor what a tool prints, nor what is wrong with the input."""
    (tmp_path / "loud.py").write_text(
        "from tools.registry import tool\n"
        "@tool('loud', effects=False, phrases=['be loud {times}'])\n"
        "def be_loud(times: str) -> str:\n"
        "    '''Print something.'''\n"
        "    import os, sys\n"
        "    print('to sys.stdout'); os.write(1, b'to the descriptor\\n')\n"
        "    return sys.stdin.read() + times\n"
    )
    with spawned(tmp_path, tools=f"{tmp_path}/loud.py:be_loud", log_level="debug") as process:
        send(process, calling("run", prompt="be loud once"), "no JSON", "[]", "{}", "null", "")
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline())
        send(process, calling("run", number=2, prompt="calculate 1 + 1"))
        after = json.loads(process.stdout.readline())
        out, err = process.communicate(timeout=patience())

    assert answer["result"]["structuredContent"]["result"]["output"] == "once"
    assert after["result"]["structuredContent"]["result"]["output"] == 2
    assert (out, process.returncode) == ("", 0)
    assert "to sys.stdout" in err
    assert "to the descriptor" in err


def test_a_client_that_is_gone_cancels_what_it_waits_for(tmp_path: Path) -> None:
    with spawned(tmp_path, tools=GATE) as process:
        begin(process, "pass gate gone")
        process.communicate(timeout=patience())

    assert process.returncode == 0
    assert [run["status"] for run in listed(tmp_path)] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_own_end_leaves_a_run_to_the_next_start(tmp_path: Path, number: int) -> None:
    with spawned(tmp_path, tools=GATE) as process:
        begin(process, "pass gate ended")
        process.send_signal(number)
        assert process.wait(patience()) == (0 if number == signal.SIGTERM else -number)
    open_gate(tmp_path, "ended")
    with serving(tmp_path, tools=GATE) as server:
        [run] = server.client.get("/runs").json()["runs"]
        assert server.settled(run["run_id"])["status"] == "completed"


def test_it_goes_on_with_what_was_left(tmp_path: Path) -> None:
    """As a server does: it stays, and may be the only process that a database ever has."""
    with spawned(tmp_path, tools=GATE) as process:
        send(process, calling("start_run", prompt="pass gate left"))
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())["result"]["structuredContent"]
        process.communicate(timeout=patience())
    open_gate(tmp_path, "left")
    with spawned(tmp_path, tools=GATE) as process:
        send(process, calling("get_run", run_id=started["run_id"], wait=60))
        assert process.stdout is not None
        ended = json.loads(process.stdout.readline())["result"]["structuredContent"]
        process.communicate(timeout=patience())

    assert (started["status"], ended["status"]) == ("pending", "completed")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"api_keys": str(KEPT)}, "set RUNWRIGHT_API_KEY to your key"),
        ({"api_keys": str(KEPT), "api_key": OTHER}, "none of RUNWRIGHT_API_KEYS"),
        ({"database_url": "mysql://x"}, "names no database"),
    ],
)
def test_what_keeps_it_from_beginning_is_told_in_a_line(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    done = call("mcp", folder=tmp_path, **settings)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_beside_a_process_that_answers_nobody_it_says_so(tmp_path: Path) -> None:
    with spawned(tmp_path) as process:
        wait_until(lambda: (tmp_path / "runs.db.owner").exists())
        done = runwright("mcp", folder=tmp_path)
        process.communicate(timeout=patience())

    assert done.returncode == 2
    assert f"process {process.pid}" in done.stderr
    assert os.path.sep in done.stderr


def test_without_an_input_it_says_who_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    done = call("mcp", folder=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "an MCP client starts this command" in done.stderr


@pytest.mark.slow  # a process that is not forked
def test_where_it_is_not_installed_a_line_says_what_to_do(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['mcp'] = None"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; from api.__main__ import main; sys.exit(main(['mcp']))"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "`make mcp`" in done.stderr
    assert not list(tmp_path.iterdir())
