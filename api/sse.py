"""Server-sent events on the wire, as WHATWG's HTML standard defines them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic_core import to_json
from starlette.types import Send

#: Tells when to come again: after a connection that broke, and after the server's end.
RETRY = b"retry: 2000\n\n"

#: A stream is never kept by anybody on its way, nor held back until there is more of it.
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def message(kind: str, data: object, *, number: int | None = None) -> bytes:
    """One event; `number` is its id, from which a client that comes again goes on."""
    # JSON escapes line ends, so that any data is one line.
    line = to_json(data, inf_nan_mode="strings")
    numbered = b"" if number is None else b"id: %d\n" % number
    return numbered + b"event: %s\ndata: %s\n\n" % (kind.encode(), line)


async def stream(send: Send, messages: AsyncGenerator[bytes, None]) -> None:
    """Answer with the messages as they come; a reader that is slow holds up nobody else."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with aclosing(messages):
        async for part in messages:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
