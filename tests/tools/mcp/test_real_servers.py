"""Servers that others wrote, attached as they are."""

import sys
from pathlib import Path

import pytest

from graph.compose import open_runs
from graph.settings import Settings
from tests.support.own_tools.mcp_files import mcp_file
from tests.support.patience import patience

pytestmark = pytest.mark.slow

TIME = {
    "command": sys.executable,
    "args": ["-m", "mcp_server_time"],
    "runwright": {"tools": {"get_current_time": {"phrases": ["what time is it in {timezone}"]}}},
}


async def test_the_server_of_time_tells_it(tmp_path: Path) -> None:
    settings = Settings(database_url="memory://", mcp=mcp_file(tmp_path, time=TIME))
    async with open_runs(settings) as runs:
        asked = await runs.start("what time is it in Asia/Tokyo")
        told = await runs.wait(asked["run_id"], patience(), owner=None)
        asked = await runs.start("what time is it in Atlantis")
        failed = await runs.wait(asked["run_id"], patience(), owner=None)
        health = runs.health.servers()["time"]

        assert told["status"] == "completed"
        assert "Asia/Tokyo" in str(told["result"])
        assert failed["execution_log"][-1]["error"]["type"] == "ToolError"
        assert (health["protocol"], health["tools"]) == ("2026-07-28", 2)
        assert not runs.tools["time.get_current_time"].effects
