"""How large a request may be."""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
