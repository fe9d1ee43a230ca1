"""`python -m benchmarks.mcp [--rounds N]`: medians of interleaved rounds.

The servers are three of the one in `tests/support/own_tools`, which is plain Python and answers at
once: what is measured is ours. Needs what `make dev` installs.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from benchmarks.server import HERE, server
from benchmarks.table import print_table
from tools.mcp.sessions import open_servers
from tools.registry import ToolCall
from tools.toolbox import Toolbox, arrived

SCRIPT = str(HERE / "tests" / "support" / "own_tools" / "rude_server.py")

#: Calls of one measurement.
CALLS = 500


def servers_file(folder: Path, count: int) -> Path:
    """A file with so many servers."""
    entries = {
        f"s{number}": {"command": sys.executable, "args": [SCRIPT, str(folder)]}
        for number in range(count)
    }
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    return file


def starts() -> dict[str, float]:
    """Seconds to the first 200 of a server with three attached and with none, and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        file = servers_file(Path(folder), 3)
        with server() as without:
            bare = without.start_seconds
            bare_mb = without.memory_mb()
        with server(mcp=str(file)) as attached:
            start = attached.start_seconds
            while attached.process.poll() is None and not _are_ready(attached.url):
                time.sleep(0.05)
            ready = time.perf_counter() - attached.began
            mb = attached.memory_mb()
    return {
        "start without servers, s": bare,
        "start with three, s": start,
        "start with ÷ without": start / bare,
        "until all three are ready, s": ready,
        "memory of ours for the first and two more, MB": mb - bare_mb,
    }


def _are_ready(url: str) -> bool:
    health = httpx.get(f"{url}/health", trust_env=False).json()
    return all(one["state"] == "ready" for one in health["servers"].values())


async def calls(folder: Path) -> dict[str, float]:
    """Milliseconds of a call through a session of ours and through the SDK's client alone."""
    parameters = StdioServerParameters(command=sys.executable, args=[SCRIPT, str(folder)])
    tools = Toolbox({})
    async with (
        Client(stdio_client(parameters)) as client,
        open_servers(servers_file(folder, 1), tools),
    ):
        await arrived(tools)
        coroutine = tools["s0.echo"].coroutine
        assert coroutine is not None
        call = ToolCall("default", "key", None)  # type: ignore[arg-type]  # texts need no store
        ours, bare = [], []
        for _ in range(CALLS):
            began = time.perf_counter()
            await coroutine(text="x", **{"runwright.call": call})
            between = time.perf_counter()
            await client.call_tool("echo", {"text": "x"})
            ours.append(between - began)
            bare.append(time.perf_counter() - between)
    one, other = median(ours) * 1000, median(bare) * 1000
    return {"a call of ours, ms": one, "of the SDK alone, ms": other, "call ÷ SDK": one / other}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.mcp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = []
    for _ in range(parser.parse_args().rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(starts() | asyncio.run(calls(Path(folder))))
    print_table(rounds)


main()
