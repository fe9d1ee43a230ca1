"""Tools that write their calls down and do nothing, as an MCP server in this process."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server

from benchmarks.agent.single import Function
from benchmarks.agent.tasks import Call

#: What every call returns. There is no value in it that a model could take; of a mere "ok" the
#: small one thinks that it has to call again.
OUTPUT = "Done: the result was shown to the person who asked."


class Journal:
    """The calls that were made since it was begun anew, whoever made them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def act(self, tool: str, arguments: dict[str, Any]) -> str:
        """Write a call down."""
        self.calls.append(Call(tool, arguments))
        return OUTPUT

    def taken(self) -> list[Call]:
        """What was written down; from now on it is empty."""
        calls, self.calls = self.calls, []
        return calls


@contextmanager
def neutral_tools(functions: Sequence[Function], journal: Journal) -> Iterator[str]:
    """The address of an MCP server with these tools."""

    async def listed(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=one.name, description=one.description, input_schema=dict(one.schema)
                )
                for one in functions
            ]
        )

    async def called(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        text = journal.act(asked.name, asked.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    server = Server("neutral", on_list_tools=listed, on_call_tool=called)
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    listening = socket.create_server(("127.0.0.1", 0))
    serving = uvicorn.Server(config)
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        serving.should_exit = True
        thread.join(10)
