"""Clients of the application in the same process: an ordinary one, and one that leaves.

The other reads an endless answer at its own pace, and goes when it likes.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from api.app import HttpLimits, create_app
from graph.service import Runs
from tests.support.patience import patience
from tests.support.runs.fake_runs import FakeRuns


def application(
    runs: Runs | FakeRuns, limits: HttpLimits | None = None, *, heartbeat: float = 5.0
) -> FastAPI:
    """The application over `runs`."""

    @asynccontextmanager
    async def open_runs() -> AsyncIterator[Runs]:
        yield cast("Runs", runs)

    return create_app(open_runs, limits or HttpLimits(), heartbeat=heartbeat)


@asynccontextmanager
async def serving(
    runs: Runs | FakeRuns, limits: HttpLimits | None = None, *, heartbeat: float = 5.0
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application over `runs`, whose unexpected errors are answered, not raised."""
    app = application(runs, limits, heartbeat=heartbeat)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client,
    ):
        yield client


@dataclass(frozen=True)
class Told:
    """One server-sent event."""

    event: str
    data: Any
    id: int | None


class Visit:
    """One request and what was answered to it so far; `body` has each message as it was sent.

    `throughput` is waited for before each of them.
    """

    def __init__(
        self, app: ASGIApp, path: str, method: str, headers: dict[str, str], body: bytes
    ) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.complete = False
        self.throughput = asyncio.Event()
        self.throughput.set()
        self._left = asyncio.Event()
        self._sent = asyncio.Condition()
        self._request = body
        self._asked = False
        path, _, query = path.partition("?")
        given = {"host": "localhost", **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    @property
    def told(self) -> list[Told]:
        """The events that have come whole."""
        return [
            _told(block)
            for block in b"".join(self.body).decode().split("\n\n")
            if "data: " in block
        ]

    async def begun(self) -> None:
        """Wait until the answer has begun."""
        async with asyncio.timeout(patience()), self._sent:
            await self._sent.wait_for(lambda: self.body)

    async def until(self, number: int) -> list[Told]:
        """The first so many events, once they have come."""
        async with asyncio.timeout(patience()), self._sent:
            await self._sent.wait_for(lambda: len(self.told) >= number)
        return self.told[:number]

    async def end(self) -> list[Told]:
        """All that was told, once the server has ended the answer."""
        async with asyncio.timeout(patience()):
            await self.task
        assert self.complete
        return self.told

    async def leave(self) -> None:
        """Go away, and see that the server has noticed."""
        self._left.set()
        async with asyncio.timeout(patience()):
            await self.task

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.throughput.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body.append(message["body"])
            self.complete = not message.get("more_body", False)
            if self.complete:
                self._left.set()  # as servers do
        async with self._sent:
            self._sent.notify_all()


@asynccontextmanager
async def visiting(
    app: ASGIApp, path: str, *, method: str = "GET", body: bytes = b"", **headers: str
) -> AsyncIterator[Visit]:
    """A visit that is over at the end of the block."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    visit = Visit(app, path, method, named, body)
    try:
        yield visit
    finally:
        visit.throughput.set()
        await visit.leave()


def _told(block: str) -> Told:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if line)
    number = fields.get("id")
    return Told(fields["event"], json.loads(fields["data"]), int(number) if number else None)
