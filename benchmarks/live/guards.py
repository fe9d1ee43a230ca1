"""What the guards of a request cost by themselves, around an application that does nothing."""

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.access import Authentication, Loopback
from api.middleware.limits import BodyLimit
from api.streams.admission import StreamLimit
from graph.settings.keys import KeyRing, new_key

CALLS = 20_000


def measure() -> dict[str, float]:
    """CPU of Host, Origin, key, size of the body and number of streams, by request, in µs."""
    key, kept = new_key("me")
    guarded: ASGIApp = StreamLimit(_nothing, per_owner=300)
    guarded = BodyLimit(guarded, 64 * 1024)
    guarded = Authentication(guarded, KeyRing([kept]))
    guarded = Loopback(guarded)
    head = [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"x-api-key", key.encode())]
    body = [(b"content-type", b"application/json"), (b"content-length", b"20")]
    calls = {
        "GET": {"method": "GET", "path": "/runs", "headers": head},
        "POST": {"method": "POST", "path": "/runs", "headers": [*head, *body]},
    }
    return {
        f"guards of a {name}, µs": _cpu(guarded, scope) - _cpu(_nothing, scope)
        for name, scope in calls.items()
    }


def _cpu(app: ASGIApp, call: dict[str, Any]) -> float:
    async def ask() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            await app({"type": "http", **call}, _receive, _send)
        return (time.process_time() - began) / CALLS * 1e6

    return asyncio.run(ask())


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    return
