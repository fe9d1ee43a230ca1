"""MCP servers behind a real server of runs: what it tells of them, and that none outlives it."""

import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_server_does_not_outlive_a_kill_of_ours(tmp_path: Path) -> None:
    with serving(tmp_path, mcp=str(mcp_file(tmp_path, rude=rude(tmp_path)))) as server:
        wait_until(lambda: lines(tmp_path, "lists"))
        [pid] = lines(tmp_path, "starts")
        server.kill()

    wait_until(lambda: is_gone(pid))
