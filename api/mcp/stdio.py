"""The server over standard input and output, for a client that has started this process.

It has the runs, or another process has them: then what is asked is asked of that one.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)
from mcp_types.version import LATEST_MODERN_VERSION

from api.mcp.calls import Caller
from api.mcp.door import PATH
from api.mcp.server import Context, failure, make_server, named_server
from api.mcp.tools import Deeds
from api.middleware.access import CLIENT
from graph.service import Runs
from graph.settings.configured import DEFAULT_OWNER


async def serve_runs(runs: Runs, owner: str, *, each_tool: bool) -> None:
    """Answer until the client closes the input; what it still waits for is cancelled then.

    `each_tool` as `make_server` has it.
    """

    def who_calls(context: Context) -> Caller:
        by = CLIENT if owner == DEFAULT_OWNER else owner
        return Caller(owner=owner, by=by, report=context.session.report_progress)

    deeds = Deeds(runs)
    try:
        await serve_streams(make_server(deeds, who_calls, each_tool=each_tool))
    finally:
        await deeds.close()


async def serve_streams(server: Server[Any]) -> None:
    """Let a server answer over the standard input and output of this process."""
    with _input() as file:
        lines: Any = _Lines(file)
        async with stdio_server(stdin=cast("Any", lines)) as (read, write):
            try:
                await server.run(read, write, server.create_initialization_options())
            finally:
                with suppress(OSError):  # what tools have printed; later it would be on the wire
                    sys.stdout.flush()


@contextmanager
def _input() -> Iterator[int]:
    """The standard input under another number; tools, and what they start, find it empty."""
    wire = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield wire
    finally:
        os.dup2(wire, 0)


class _Lines:
    """The lines of a file as they come, read by a thread that keeps nobody from ending.

    The SDK's own reader cannot be told to stop before the next line comes.
    """

    def __init__(self, file: int) -> None:
        self._file = os.fdopen(file, encoding="utf-8", errors="replace", closefd=False)
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(1)
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if (line := await self._lines.get()) is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        try:
            for line in self._file:
                self._hand_over(line)
        except (OSError, ValueError):
            pass  # as its end
        self._hand_over(None)

    def _hand_over(self, line: str | None) -> None:
        """Return when there is room for the next one."""
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except RuntimeError:  # the loop is closed: nobody wants it
            putting.close()


T = TypeVar("T")


class Refused(Exception):
    """The server does not answer, or not what was asked; the message says why."""


async def serve_relayed(url: str, http: httpx2.AsyncClient) -> None:
    """Answer with what the server at `url` answers, until the client closes the input.

    `http` sends what the server asks for beside. What it raises that is no `httpx2` error is told
    as it is.
    """
    relay = _Relay(url.rstrip("/"), http)
    await serve_streams(
        named_server(
            on_list_tools=relay.list_tools,
            on_call_tool=relay.call,
            on_list_resources=relay.list_resources,
            on_list_resource_templates=relay.list_templates,
            on_read_resource=relay.read,
        )
    )


class _Relay:
    """Asks the server anew for each request, so that it may have been restarted between two."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """The tools of the server."""
        return await self._asked(lambda client: client.list_tools())

    async def call(self, context: Context, asked: CallToolRequestParams) -> CallToolResult:
        """Call a tool of the server; who gives up the call gives it up there."""
        report = context.session.report_progress
        try:
            return await self._answer(
                lambda client: client.call_tool(
                    asked.name, asked.arguments, progress_callback=report
                )
            )
        except Refused as error:
            return failure({"detail": str(error)})

    async def list_resources(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """The newest runs of the server."""
        return await self._asked(lambda client: client.list_resources())

    async def list_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """How the records of the server are named."""
        return await self._asked(lambda client: client.list_resource_templates())

    async def read(self, _: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        """A record of the server."""
        return await self._asked(lambda client: client.read_resource(str(asked.uri)))

    async def _asked(self, asking: Callable[[Client], Awaitable[T]]) -> T:
        try:
            return await self._answer(asking)
        except Refused as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from None

    async def _answer(self, asking: Callable[[Client], Awaitable[T]]) -> T:
        """What the server answers. Raises `Refused`, and `MCPError` as the server told it."""
        streams = streamable_http_client(f"{self._url}{PATH}", http_client=self._http)
        try:
            async with Client(streams, mode=LATEST_MODERN_VERSION) as client:
                try:
                    return await asking(client)
                except MCPError as error:
                    failed = error  # raised in here it would come out in a group
        except Exception as error:
            raise Refused(self._reason(error)) from error
        raise failed

    def _reason(self, error: Exception) -> str:
        """Why the connection broke, in words."""
        causes = list(_leaves(error))
        if own := [one for one in causes if not isinstance(one, httpx2.HTTPError | MCPError)]:
            return str(own[0])
        broken = next((one for one in causes if isinstance(one, httpx2.HTTPError)), causes[0])
        return (
            f"the server at {self._url} does not answer ({type(broken).__name__}); whether it took"
            " a task, its GET /runs tells"
        )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, or the one that is none."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
