"""What MCP clients are told: of the tools, and of a run as it stands."""

from typing import Any
from unittest import mock

from api.cli.follow import NotStarted
from api.cli.mcp import serve_mcp
from api.errors.kinds import McpMissing
from api.errors.problems import PROBLEMS
from api.mcp.calls import report_of
from api.mcp.server import INSTRUCTIONS
from api.mcp.tools import TOOLS
from graph.settings import Settings
from tests.support.runs.fake_runs import accepted

_STEPS = [{"step": 1, "tool": "calculator", "input": {"expression": "1 + 1"}}]
_PLAN = {"plan": {"steps": _STEPS, "rounds": []}, "approval": {"expires_at": 0.0}}
_DOUBT = {**_PLAN, "in_doubt": {"step": 1, "expires_at": 0.0}}


async def messages() -> dict[str, str]:
    """The description of each tool, then what is said of runs, then where it is not installed."""
    told = {"instructions": INSTRUCTIONS}
    for name, tool in TOOLS.items():
        told |= {f"tool.{name}.title": tool.title, f"tool.{name}": tool.description}
    nobody: Any = None
    return told | {
        "run.goes-on": _said(status="running"),
        "run.stopping": _said(status="running", stopping=True),
        "run.waits-for-approval": _said(status="waiting", **_PLAN),
        "run.waits-in-doubt": _said(status="waiting", **_DOUBT),
        "missing": PROBLEMS[McpMissing].detail(McpMissing(), nobody),
        "missing.command": await _missing(),
    }


def _said(*, stopping: bool = False, **fields: Any) -> str:
    record = accepted(**{"run_id": "<run_id>", **fields})
    return report_of(record, base_url=None, stopping=stopping)["message"]


async def _missing() -> str:
    with mock.patch("api.cli.mcp.find_spec", return_value=None):
        try:
            await serve_mcp(Settings(), url=None)
        except NotStarted as error:
            return str(error)
    return ""
