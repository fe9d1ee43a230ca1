"""Files of MCP servers for tests, and what the server of bad manners has written down."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT
from tools.mcp.sessions import McpServers, open_servers
from tools.toolbox import Tool, Toolbox, arrived

RUDE = ROOT / "tests" / "support" / "own_tools" / "rude_server.py"


def rude(folder: Path, *habits: str, **ours: Any) -> dict[str, Any]:
    """The entry of the server of bad manners; `ours` is what stands under `runwright`."""
    return {"command": sys.executable, "args": [str(RUDE), str(folder), *habits], "runwright": ours}


def mcp_file(folder: Path, **servers: Any) -> Path:
    """A file with these servers."""
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    return file


def lines(folder: Path, name: str) -> list[str]:
    """What a server has written down."""
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


@asynccontextmanager
async def connected(
    folder: Path, fixed: Mapping[str, Tool] | None = None, **servers: Any
) -> AsyncIterator[tuple[Toolbox, McpServers]]:
    """The tools of these servers once all of them are there, or are known not to be."""
    tools = Toolbox(fixed or {})
    async with open_servers(mcp_file(folder, **servers), tools) as opened:
        await arrived(tools)
        yield tools, opened
