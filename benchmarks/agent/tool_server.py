"""`python -m benchmarks.agent.tool_server`: the tools of the tasks, as an MCP server on loopback.

It prints its address. It keeps the state of the task that was loaded last, over any number of
sessions, and a journal of the calls that were made: it stands for the world, and is never killed.

`POST /load` begins a task: `{"task": name}`. `POST /kill` says when the process `pid` is killed, by
signal 9: `{"pid", "call", "when", "after"}`, at the call of this number since the task was loaded,
`before` it acts, `acted` when it has and has not answered, or `answered`, `after` so many seconds.
`GET /journal` has the calls that have acted: `tool`, `arguments`, `output`, `failed`, `reads`.
"""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.agent.tasks import Call, act, read_tasks, read_tools


class World:
    """The state of one task, and what was done to it."""

    def __init__(self) -> None:
        self.tools = read_tools()
        self.tasks = {task.name: task for task in read_tasks(self.tools)}
        self.instances: dict[str, Any] = {}
        self.journal: list[dict[str, Any]] = []
        self.arrived = 0
        self.kill: dict[str, Any] | None = None

    def load(self, name: str) -> None:
        """Begin a task anew."""
        self.instances = self.tasks[name].made()
        self.journal, self.arrived, self.kill = [], 0, None

    async def call(self, call: Call) -> dict[str, Any]:
        """Act, and write it down; the entry of the journal."""
        self.arrived += 1
        if self._strikes("before"):
            await asyncio.Event().wait()  # nobody is there to be answered
        output, failed = act(self.instances, call, self.tools)
        entry = {
            "tool": call.tool,
            "arguments": dict(call.arguments),
            "output": output,
            "failed": failed,
            "reads": self.tools[call.tool].reads(call.tool),
        }
        self.journal.append(entry)
        if self._strikes("acted"):
            await asyncio.Event().wait()
        self._strikes("answered")
        return entry

    def _strikes(self, when: str) -> bool:
        kill = self.kill
        if not kill or (kill["when"], kill["call"]) != (when, self.arrived):
            return False
        self.kill = None
        asyncio.get_running_loop().call_later(kill["after"], _kill, kill["pid"])
        return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def application(world: World) -> Any:
    """The server, and beside it what the benchmark asks."""

    async def listed(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=tool.description,
                    input_schema=tool.schema,
                    annotations=types.ToolAnnotations(read_only_hint=tool.reads(name)),
                )
                for name, tool in world.tools.items()
            ]
        )

    async def called(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        entry = await world.call(Call(asked.name, asked.arguments or {}))
        output, failed = entry["output"], entry["failed"]
        text = output if isinstance(output, str) else str(output.get("error", output))
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            structured_content=output if isinstance(output, dict) and not failed else None,
            is_error=failed,
        )

    async def load(request: Request) -> JSONResponse:
        world.load((await request.json())["task"])
        return JSONResponse({})

    async def kill(request: Request) -> JSONResponse:
        world.kill = await request.json()
        return JSONResponse({})

    async def journal(_: Request) -> JSONResponse:
        return JSONResponse(world.journal)

    server = Server("bfcl", on_list_tools=listed, on_call_tool=called)
    return server.streamable_http_app(
        custom_starlette_routes=[
            Route("/load", load, methods=["POST"]),
            Route("/kill", kill, methods=["POST"]),
            Route("/journal", journal),
        ]
    )


def main() -> None:
    """Serve until ended."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application(World()), log_level="error")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
