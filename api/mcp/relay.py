"""The server over standard input and output, where another process has the runs: it asks that."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
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

from api.mcp.door import PATH
from api.mcp.server import Context, failure, named_server
from api.mcp.stdio import serve_streams

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
