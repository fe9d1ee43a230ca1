"""MCP servers behind a real server of runs: what it tells of them, and that none outlives it."""

import sys
from pathlib import Path

import pytest
from httpx_sse import ServerSentEvent, connect_sse

from graph.settings.configured import new_key
from tests.support.own_tools.mcp_files import lines, mcp_file, rude
from tests.support.patience import wait_until
from tests.support.servers.server_process import serving


def is_gone(pid: str) -> bool:
    """Whether there is no such process, or only what is left of it until it is looked at."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_the_tools_and_the_health_name_the_servers(tmp_path: Path) -> None:
    file = mcp_file(tmp_path, rude=rude(tmp_path), text="npx something")
    with serving(tmp_path, mcp=str(file)) as server:
        client = server.client
        health = wait_until(lambda: _settled(client.get("/health").json()))
        tools = {tool["name"]: tool for tool in client.get("/tools").json()["tools"]}

    assert health["servers"]["rude"]["state"] == "ready"
    assert "bare text" in health["servers"]["text"]["reason"]
    assert health["status"] == "ok"
    assert (tools["rude.echo"]["server"], tools["calculator"]["server"]) == ("rude", None)
    assert tools["rude.echo"]["input_schema"]["required"] == ["text"]


def _settled(health: dict[str, dict[str, dict[str, str]]]) -> dict[str, dict[str, dict[str, str]]]:
    connecting = [one for one in health["servers"].values() if one["state"] == "connecting"]
    return {} if connecting else health


TOOLS = {"slow": {"phrases": ["dawdle"]}, "image": {"phrases": ["show a picture"]}}


def test_what_a_server_tells_of_its_progress_is_streamed_and_not_stored(tmp_path: Path) -> None:
    with serving(tmp_path, mcp=str(mcp_file(tmp_path, rude=rude(tmp_path, tools=TOOLS)))) as server:
        run_id = server.client.post("/runs", json={"prompt": "dawdle"}).json()["run_id"]
        told: list[ServerSentEvent] = []
        with connect_sse(server.client, "GET", f"/runs/{run_id}/stream") as source:
            for message in source.iter_sse():
                told.append(message)
                if message.event == "step.progress":
                    (tmp_path / "awake").write_text("")
        events = server.client.get(f"/runs/{run_id}/events").json()["events"]

    progress = [message for message in told if message.event == "step.progress"]
    said = progress[0].json()
    assert (said["step"], said["attempt"], said["tool"]) == (1, 1, "rude.slow")
    assert (said["done"] > 0, said["total"], said["message"]) == (True, 1_200, "yawns")
    assert told[-1].event == "end"
    assert [event["type"] for event in events] == [
        message.event
        for message in told
        if message.event not in ("message", "heartbeat", "step.progress")
    ]


def test_bytes_that_a_server_returns_are_kept_as_long_as_the_run(tmp_path: Path) -> None:
    with serving(tmp_path, mcp=str(mcp_file(tmp_path, rude=rude(tmp_path, tools=TOOLS)))) as server:
        client = server.client
        record = client.post("/runs/wait", json={"prompt": "show a picture"}).json()
        [_, picture] = record["execution_log"][0]["output"]
        output = f"/runs/{record['run_id']}/log/1/output"
        history = client.get(f"/runs/{record['run_id']}/history").json()["checkpoints"]
        forked = client.post(
            f"/runs/{record['run_id']}/fork",
            json={"checkpoint_id": history[0]["checkpoint_id"]},
        ).json()
        fetched = client.get(output, params={"blob": picture["sha256"]})
        of_fork = client.get(
            f"/runs/{forked['run_id']}/log/1/output", params={"blob": picture["sha256"]}
        )
        unknown = client.get(output, params={"blob": "0" * 64})
        invalid = client.get(output, params={"blob": "../etc"})
        whole = client.get(output).json()
        client.delete(f"/runs/{record['run_id']}")
        gone = client.get(
            f"/runs/{forked['run_id']}/log/1/output", params={"blob": picture["sha256"]}
        )

    assert (picture["bytes"], picture["kept"]) == (5, True)
    assert (fetched.content, fetched.headers["content-type"]) == (b"hello", "image/png")
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert of_fork.content == b"hello"
    assert (unknown.status_code, invalid.status_code, gone.status_code) == (404, 400, 404)
    assert whole == record["execution_log"][0]["output"]


PAYING = {"pay": {"phrases": ["pay {text}"]}, "set": {"phrases": ["set {text}"]}}


@pytest.mark.parametrize(
    ("prompt", "status", "calls"), [("pay slowly", "waiting", 1), ("set slowly", "completed", 2)]
)
def test_a_kill_of_ours_in_a_call_leaves_it_in_doubt_or_repeats_it(
    tmp_path: Path, prompt: str, status: str, calls: int
) -> None:
    """As its server says of the tool: nothing, or that it may be called again."""
    file = str(mcp_file(tmp_path, rude=rude(tmp_path, tools=PAYING)))
    with serving(tmp_path, mcp=file) as server:
        run_id = server.client.post("/runs", json={"prompt": prompt}).json()["run_id"]
        wait_until(lambda: lines(tmp_path, "calls"))
        server.kill()
    (tmp_path / "awake").write_text("")
    with serving(tmp_path, mcp=file) as server:
        client = server.client
        record = client.get(f"/runs/{run_id}/wait", params={"timeout": 300}).json()

        assert record["status"] == status
        assert len(lines(tmp_path, "calls")) == calls
        if status == "waiting":
            answer = {"as": "done", "output": "paid"}
            client.post(f"/runs/{run_id}/resolve", json=answer).raise_for_status()
            record = client.get(f"/runs/{run_id}/wait", params={"timeout": 300}).json()
            assert (record["status"], record["result"]["output"]) == ("completed", "paid")


def test_the_runs_of_one_server_are_tools_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP, with a key that stands in a variable."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    key, kept = new_key("b")
    monkeypatch.setenv("FIRST_KEY", key)
    with serving(folders[0], api_keys=str(kept)) as first:
        attached = {
            "url": f"{first.url}/mcp",
            "headers": {"Authorization": "Bearer ${FIRST_KEY}"},
            "runwright": {"tools": {"run": {"phrases": ["let it do {prompt}"]}}},
        }
        file = mcp_file(folders[1], first=attached, other={**attached, "headers": {}})
        with serving(folders[1], mcp=str(file)) as second:
            health = wait_until(lambda: _settled(second.client.get("/health").json()))
            record = second.client.post(
                "/runs/wait", json={"prompt": "let it do what is 6 * 7"}
            ).json()
            told = first.client.get("/runs", headers={"x-api-key": key}).json()["runs"]

    assert health["servers"]["first"]["state"] == "ready"
    assert health["servers"]["other"]["state"] == "missing"
    assert record["status"] == "completed", record["error"]
    assert record["result"]["output"]["result"]["output"] == 42
    assert [run["prompt"] for run in told] == ["what is 6 * 7"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_does_not_outlive_a_kill_of_ours(tmp_path: Path) -> None:
    with serving(tmp_path, mcp=str(mcp_file(tmp_path, rude=rude(tmp_path)))) as server:
        wait_until(lambda: lines(tmp_path, "lists"))
        [pid] = lines(tmp_path, "starts")
        server.kill()

    wait_until(lambda: is_gone(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_clings_on_after_a_kill_of_ours_is_ended_at_the_next_start(tmp_path: Path) -> None:
    file = str(mcp_file(tmp_path, rude=rude(tmp_path, "clings")))
    with serving(tmp_path, mcp=file) as server:
        wait_until(lambda: lines(tmp_path, "lists"))
        [first] = lines(tmp_path, "starts")
        server.kill()
    assert not is_gone(first)

    with serving(tmp_path, mcp=file):
        wait_until(lambda: is_gone(first))
        wait_until(lambda: len(lines(tmp_path, "lists")) > 1)
        assert not is_gone(lines(tmp_path, "starts")[-1])
