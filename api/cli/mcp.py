"""`runwright mcp`: runs for an MCP client that has started this process.

The standard output is the protocol's; what is logged goes to standard error.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from api.cli.follow import NotStarted, checked_url, owner_here, quiet_logging
from api.cli.server_run import Proof
from graph.compose import open_runs
from graph.service import Runs
from graph.settings import Settings
from graph.storage.records import DatabaseOwned

if TYPE_CHECKING:
    import httpx2

#: How long attempts in flight may take once the client has left, in seconds: it waits for two, and
#: then it kills.
LEAVING = 1.0

#: How long the server may be silent, in seconds; while a call runs it says that it is alive.
SILENCE = 60.0


async def serve_mcp(settings: Settings, *, url: str | None) -> int:
    """Answer until the client closes the input, or SIGTERM; 0 then.

    Where a server has the configured database, or is at `url`, it does what is asked; else it is
    done here. Raises what `open_runs` raises, `NotStarted` and `NotWatched`.
    """
    quiet_logging(settings)
    if find_spec("mcp") is None:
        raise NotStarted("what MCP needs is not installed; `make mcp` installs it")
    if sys.stdin is None:
        raise NotStarted("the standard input is closed; an MCP client starts this command")
    if url is not None:
        await _relay(settings, checked_url(url))
        return 0
    owner = owner_here(settings)
    try:
        # As a server does, and unlike `run`: it stays, so that it resumes what was left.
        async with open_runs(settings) as runs:
            await _serve(runs, owner, settings)
    except DatabaseOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise
        await _relay(settings, owned)
    return 0


async def _serve(runs: Runs, owner: str, settings: Settings) -> None:
    from api.mcp.stdio import serve_runs  # with the SDK

    async def close() -> None:
        await runs.close(min(settings.grace, LEAVING))

    try:
        await _until_ended(serve_runs(runs, owner, each_tool=settings.mcp_each_tool), close)
    finally:
        await close()


async def _relay(settings: Settings, server: str | DatabaseOwned) -> None:
    from api.mcp.stdio import serve_relayed  # with the SDK

    url = server if isinstance(server, str) else (server.owner and server.owner.url) or ""
    async with _client(settings, server) as http:
        await _until_ended(serve_relayed(url, http), _nothing)


async def _nothing() -> None:
    """To do before the end."""


async def _until_ended(
    serving: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None]]
) -> None:
    """Serve until it ends by itself or SIGTERM comes; then `stop` what is under way first."""
    loop, terminated = asyncio.get_running_loop(), asyncio.Event()
    with suppress(NotImplementedError):  # there is no SIGTERM on Windows
        loop.add_signal_handler(signal.SIGTERM, terminated.set)
    work, ending = asyncio.create_task(serving), asyncio.create_task(terminated.wait())
    try:
        await asyncio.wait({work, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await stop()
    finally:
        work.cancel()
        ending.cancel()
        await asyncio.wait({work, ending})
    if not work.cancelled():
        work.result()


def _client(settings: Settings, server: str | DatabaseOwned) -> "httpx2.AsyncClient":
    """As `open_client` has it, for the SDK; what the server refuses is raised in its words."""
    import httpx2

    from api.mcp.stdio import Refused

    class Proven(httpx2.Auth):
        """Sends a request only where a proof was answered just before."""

        async def async_auth_flow(
            self, request: httpx2.Request
        ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
            assert isinstance(server, DatabaseOwned)
            proof = Proof(server)
            address = request.url.copy_with(raw_path=proof.path)
            answer = yield httpx2.Request(
                "GET", address, headers=proof.headers, extensions=request.extensions
            )
            proof.check(answer.headers, str(request.url.copy_with(raw_path=b"/")))
            yield request

    async def refuse(response: httpx2.Response) -> None:
        if response.headers.get("content-type") == "application/problem+json":
            await response.aread()
            raise Refused(f"the server refused: {response.json()['detail']}")

    return httpx2.AsyncClient(
        headers={"x-api-key": settings.api_key.get_secret_value()} if settings.api_key else {},
        timeout=httpx2.Timeout(SILENCE, connect=5),
        trust_env=False,
        auth=Proven() if isinstance(server, DatabaseOwned) else None,
        event_hooks={"response": [refuse]},
    )
