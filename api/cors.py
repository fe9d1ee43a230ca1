"""Which other sites' pages may call the server: those that are listed, and without that none."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Which of our headers a listed page may read besides those that any may.
EXPOSED = b"Location, Retry-After, Idempotency-Replayed"

#: What a listed page may send, and for how long it need not ask again, in seconds.
_LEAVE = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Api-Key",
    ),
    (b"access-control-max-age", b"600"),
)


class Cors:
    """Answers the preflights of the listed origins, and lets their pages read what they asked for.

    To any other origin nothing is said, so that its browser keeps the answer from the page.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str] = ()) -> None:
        self.app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        told = [(b"vary", b"Origin")]
        if origin in self._origins:
            told.append((b"access-control-allow-origin", origin.encode("latin-1")))
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await send(
                    {"type": "http.response.start", "status": 204, "headers": [*told, *_LEAVE]}
                )
                await send({"type": "http.response.body", "body": b""})
                return
            told.append((b"access-control-expose-headers", EXPOSED))

        async def send_with_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        await self.app(scope, receive, send_with_leave)
