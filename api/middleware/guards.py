"""What guards the server and browsers: how large a request may be, and what every answer says.

Browsers are to guess nothing, to keep nothing, and to embed it nowhere.
"""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graph.runs.accept import CALLER_TRACE


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
