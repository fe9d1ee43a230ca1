"""What guards the server and browsers: how large a request may be, how many streams there may be,
what every answer says, how many there are, and who may read that.

An owner may have so many streams; those that come by the hundred are let in one by one, so that no
run waits for them. Browsers are to guess nothing, to keep nothing, and to embed it nowhere.
"""

import asyncio
import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Coroutine
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeVar

from fastapi import HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.access import OWNER, KeyRefused
from graph.runs.accept import CALLER_TRACE
from graph.telemetry.metrics import MEDIA_TYPE, OTHER
from graph.telemetry.server import Scrape


class BodyTooLarge(HTTPException):
    """The body is over `limit` bytes.

    An HTTPException, because FastAPI turns every other exception met while it reads a body into a
    400 of its own.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(413)
        self.limit = limit


class BodyCutOff(HTTPException):
    """The server stops before the body is whole."""

    def __init__(self) -> None:
        super().__init__(503)


class BodyLimit:
    """Refuses a body over `limit` bytes: by its Content-Length at once, else while it arrives.

    One that is still arriving when the server stops waiting for it is refused as well.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _announced(scope) > self.limit:
            raise BodyTooLarge(self.limit)
        received, whole = 0, False

        async def receive_within_limit() -> Message:
            nonlocal received, whole
            try:
                message = await receive()
            except asyncio.CancelledError:
                # Only the end of the server cuts off who still reads a body. It would answer for
                # us, in plain text, and log a fault.
                if whole:
                    raise
                raise BodyCutOff from None
            whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self.limit:
                raise BodyTooLarge(self.limit)
            return message

        await self.app(scope, receive_within_limit, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # Twenty digits are too large already, thousands of them more than `int` takes.
            return int(value[:20]) if value.isdigit() else 0
    return 0


#: Unless an answer has its own; the pages for people have a policy that lets them work.
DEFAULTS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class AnswerHeaders:
    """Adds the headers above, and `Cache-Control`, to every answer that has none of its own.

    What has an ETag may be kept and has to be asked about again; the rest is told once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                named = {name.lower() for name, _ in headers}
                headers += [default for default in DEFAULTS if default[0] not in named]
                if b"cache-control" not in named:
                    kept = b"no-cache" if b"etag" in named else b"no-store"
                    headers.append((b"cache-control", kept))
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


# How many answers there are, of which routes.


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class CountedRequests:
    """Counts every request that comes to an answer, by the route that gave it.

    What no route has answered is one: its path may be anything.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scrape: Scrape | None = scrape_of(scope["app"]) if scope["type"] == "http" else None
        if scrape is None:
            await self.app(scope, receive, send)
            return
        metrics, began = scrape.metrics, time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", None) or OTHER
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                metrics.http.labels(route, method, message["status"]).inc()
                metrics.http_seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, send_counted)


def scrape_of(app: Starlette) -> Scrape | None:
    """That of the runs, which are there once the server has started."""
    scrape: Scrape | None = getattr(getattr(app.state, "runs", None), "metrics", None)
    return scrape


# In which trace the caller is.


class CallerTrace:
    """Keeps what a request says of its trace (`traceparent`) for the runs that it calls for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = [value for name, value in scope.get("headers", ()) if name == b"traceparent"]
        # Each request is served in a context of its own.
        CALLER_TRACE.set(said[0].decode("latin-1") if len(said) == 1 else None)
        await self.app(scope, receive, send)


# HEAD on every path that answers GET.


class HeadAsGet:
    """Answers HEAD with the status and headers of GET, and no body, also where that never ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        ended = False

        async def send_without_body(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                message = {**message, "body": b"", "more_body": False}
                ended = True
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


#: The time between two of them when many come at once, in seconds; one costs a sixteenth.
INTERVAL = 0.008

#: The path of MCP, at which a call may be answered by a stream.
CALLS = "/mcp"


class TooManyStreams(Exception):
    """This owner has `limit` streams, open or waiting to be let in."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class StreamLimit:
    """Lets requests for streams in at a bounded rate; one that comes alone does not wait.

    Of one owner at most `per_owner` are open or wait; a call at `CALLS`, whose answer may be a
    stream, is one of them. Owners take turns, and who goes away gives
    back the place. Raises `TooManyStreams`.
    """

    def __init__(self, app: ASGIApp, per_owner: int) -> None:
        self._app = app
        self._per_owner = per_owner
        self._open: Counter[str | None] = Counter()
        self._next = 0.0  # the next free moment, by the loop's clock
        self._waiting: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        streams = scope["type"] == "http" and scope["path"].endswith("/stream")
        if not streams and (scope["type"] != "http" or scope["path"] != CALLS):
            await self._app(scope, receive, send)
            return
        owner = scope.get(OWNER)
        if self._open[owner] >= self._per_owner:
            raise TooManyStreams(self._per_owner)
        self._open[owner] += 1
        try:
            now = asyncio.get_running_loop().time()
            if not streams or scope.get("method") == "POST":
                pass  # it has a body, which nobody but its reader can wait for
            elif self._timer is None and self._next <= now:
                self._next = now + INTERVAL
            elif not await unless_gone(receive, self._admitted(owner)):
                return
            await self._app(scope, receive, send)
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    async def _admitted(self, owner: str | None) -> bool:
        """Wait to be let in."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(owner, deque())
        waiter = loop.create_future()
        waiting.append(waiter)
        if self._timer is None:
            self._timer = loop.call_at(self._next, self._let_in)
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                with suppress(ValueError):
                    waiting.remove(waiter)
        return True

    def _let_in(self) -> None:
        """Let in the next one, of the owner who is due."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting:
            owner, waiting = self._waiting.popitem(last=False)
            while waiting:
                waiter = waiting.popleft()
                if waiter.done():
                    continue
                waiter.set_result(None)
                if waiting:
                    self._waiting[owner] = waiting
                self._next = loop.time() + INTERVAL
                if self._waiting:
                    self._timer = loop.call_at(self._next, self._let_in)
                return


# Work that is done for one client and for nobody once it has gone.


T = TypeVar("T")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns or raises, or None once the client has gone; it is cancelled then.

    The request's body has to be read before. Raises what `receive` raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return leaving.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# `/metrics` for Prometheus, and who may read them.


#: Where they are.
METRICS = "/metrics"

#: Who may read them where there are keys: who is on this machine, everybody, nobody, or one key.
READERS = re.compile(r"local|open|off|key:(?P<owner>[^\s:,]+)")

#: What a proxy says of whom it speaks for.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})


class MetricsRefused(Exception):
    """They count what all owners do, and are not for this caller."""


class MetricsPage:
    """Answers with the metrics of the process whom `readers` names, as `READERS` describes.

    Raises `KeyRefused` and `MetricsRefused`.
    """

    def __init__(self, readers: str, *, keys: bool) -> None:
        self._readers = readers
        self._keys = keys

    async def answer(self, request: Request) -> Response:
        """The answer."""
        scrape = scrape_of(request.app)
        if self._readers == "off" or scrape is None:
            raise HTTPException(404)  # as where there is nothing
        if self._keys:
            self._admit(request)
        return Response(await scrape.text(), media_type=MEDIA_TYPE)

    def _admit(self, request: Request) -> None:
        owner = request.scope[OWNER]
        if self._readers == "open" or (owner and self._readers == f"key:{owner}"):
            return
        if self._readers == "local" and _is_local(request.scope):
            return
        if owner is None:
            raise KeyRefused(given=False)
        raise MetricsRefused


def _is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine, and from no proxy on it."""
    client = scope.get("client")
    if client is None or any(name.lower() in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
