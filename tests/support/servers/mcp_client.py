"""Clients of our MCP server: the SDK's own, and one that sends what it is told to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    CallToolResult,
)

from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.servers.commands.shell import forking
from tests.support.servers.server_process import environment

#: The two eras of the protocol, as the SDK's client is told which one to begin with.
ERAS = ("auto", "legacy")

REVISIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


@asynccontextmanager
async def connected(
    url: str, era: str = "auto", *, key: str | None = None
) -> AsyncIterator[Client]:
    """The SDK's client at a server."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    http = httpx2.AsyncClient(headers=headers, timeout=patience(), trust_env=False)
    streams = streamable_http_client(f"{url}/mcp", http_client=http)
    async with http, Client(streams, mode=era) as client:
        assert client.protocol_version == REVISIONS[era]
        yield client


def started(
    folder: Path,
    era: str = "auto",
    *arguments: str,
    command: Sequence[str] | None = None,
    **settings: str,
) -> Client:
    """The SDK's client of a `runwright mcp` that it starts; without a `command` it is forked."""
    program, *first = command or forking()
    parameters = StdioServerParameters(
        command=program,
        args=[*first, "mcp", *arguments],
        env=environment(folder, **settings),
        cwd=ROOT,
    )
    return Client(parameters, mode=era)


def told(result: CallToolResult) -> dict[str, Any]:
    """What a call that went well answers."""
    assert not result.is_error, result
    assert result.structured_content is not None
    return result.structured_content


def refused(result: CallToolResult) -> str:
    """Why a call did not do what was asked."""
    assert result.is_error, result
    [block] = result.content
    return str(block.text)  # type: ignore[union-attr]  # it is always text


def message(
    era: str, method: str, *, number: int = 1, token: str | None = None, **params: Any
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """The headers and the body of a request as a client of an era sends it.

    With a `token` it wants to be told how far it is.
    """
    revision = REVISIONS[era]
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": revision}
    if era == "auto":
        headers |= {"mcp-method": method} | (
            {"mcp-name": params["name"]} if "name" in params else {}
        )
        params["_meta"] = {
            PROTOCOL_VERSION_META_KEY: revision,
            CLIENT_INFO_META_KEY: {"name": "tests", "version": "1"},
            CLIENT_CAPABILITIES_META_KEY: {},
            **({"progressToken": token} if token else {}),
        }
    return headers, {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
