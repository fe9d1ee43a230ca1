"""`/mcp`: the server over streamable HTTP, of both eras of the protocol.

Nothing is kept between two requests, so that a restart of ours strands nobody. The SDK is loaded by
the first request. What guards every other path guards this one: none of its checks come here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, cast
from uuid import uuid4

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors.kinds import McpMissing
from api.mcp.calls import Call, Caller, Calls, given_up_id
from api.middleware.access import CLIENT, OWNER
from api.middleware.guards import CALLS
from api.operations import parse
from graph.service import Runs
from graph.settings.configured import DEFAULT_OWNER

PATH = CALLS

#: By which a client of the era before 2026 names its session. Ours is only a name: none is kept.
SESSION = "mcp-session-id"

#: Which revision of the protocol a client speaks; there are sessions up to this one.
REVISION, LAST_WITH_SESSIONS = "mcp-protocol-version", "2025-11-25"

#: What JSON-RPC calls a body that is no JSON.
PARSE_ERROR = -32700

#: Where a request keeps the call that it makes.
CALL = "runwright.mcp.call"


class Door:
    """Answers at `PATH`, from the first request on until it is closed.

    With `each_tool` every tool of this process is offered by itself too. Raises `McpMissing` where
    the SDK is not installed.
    """

    def __init__(self, *, each_tool: bool = False) -> None:
        self._each_tool = each_tool
        self._calls = Calls()
        self._opening: asyncio.Task[ASGIApp] | None = None
        self._closing = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        if find_spec("mcp") is None:
            raise McpMissing
        request = Request(scope, receive)
        body = await request.body()  # what is wrong with it is raised here, ahead of the SDK
        try:
            message = parse(body)
        except ValueError as error:
            # The SDK would take the last of two fields of one name, which may not be the one meant.
            await JSONResponse(_unreadable(error), 400)(scope, receive, send)
            return
        app = await self._opened(scope["app"].state.runs)
        owner, session = scope[OWNER], request.headers.get(SESSION, "")
        if (gives_up := given_up_id(message)) is not None:
            self._calls.give_up(owner, session, gives_up)
        receive = _again(body, receive)
        if not isinstance(message, dict) or _of_2026(request):
            await app({**scope, CALL: Call()}, receive, send)
            return
        if message.get("method") == "initialize":
            send = _naming_session(send)
        with self._calls.noted(owner, session, message.get("id")) as call:
            await app({**scope, CALL: call}, receive, send)

    async def close(self) -> None:
        """End what is still open."""
        self._closing.set()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._serving is not None:
            await asyncio.wait([self._serving])

    async def _opened(self, runs: Runs) -> ASGIApp:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(runs))
        return await asyncio.shield(self._opening)

    async def _open(self, runs: Runs) -> ASGIApp:
        # Half a second of loading, beside which others are answered.
        make = await asyncio.to_thread(_load)
        opened: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(make, runs, opened))
        return await opened

    async def _serve(
        self, make: Callable[..., Any], runs: Runs, opened: "asyncio.Future[ASGIApp]"
    ) -> None:
        """Keep it open: what the SDK opens in one task has to be closed in the same."""
        try:
            async with make(runs, _caller, each_tool=self._each_tool) as app:
                opened.set_result(app)
                await self._closing.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)


def _load() -> Callable[..., Any]:
    from api.mcp.server import described_tools, open_http

    described_tools()
    return open_http


def _caller(request: Request, report: Callable[..., Awaitable[None]]) -> Caller:
    owner = cast("str", request.scope[OWNER])
    return Caller(
        owner=owner,
        by=CLIENT if owner == DEFAULT_OWNER else owner,
        call=request.scope[CALL],
        report=report,
        base_url=str(request.base_url),
    )


def _unreadable(error: ValueError) -> dict[str, Any]:
    """What JSON-RPC answers to what is no JSON."""
    fault = {"code": PARSE_ERROR, "message": f"Parse error: {getattr(error, 'msg', error)}"}
    return {"jsonrpc": "2.0", "id": None, "error": fault}


def _of_2026(request: Request) -> bool:
    """Whether it is of a revision without sessions, where who leaves gives up what it asked for."""
    return request.headers.get(REVISION, "") > LAST_WITH_SESSIONS


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, and then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again


def _naming_session(send: Send) -> Send:
    """Gives the client a name for its session, by which its requests are told from others."""

    async def send_with_name(message: Message) -> None:
        if message["type"] == "http.response.start":
            named = (SESSION.encode(), uuid4().hex.encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        await send(message)

    return send_with_name
