"""The least of an HTTP client, so that thousands of them measure the server and not themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the server."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(url: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """The status and the JSON of an answer, on a connection of its own."""
    content = b"" if body is None else json.dumps(body).encode()
    async with connected(url) as (reader, writer):
        writer.write(request(method, path, content))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.read()
    return int(head.split(b" ", 2)[1]), json.loads(answer)


def request(method: str, path: str, content: bytes = b"") -> bytes:
    """A request after which the server closes the connection."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content
