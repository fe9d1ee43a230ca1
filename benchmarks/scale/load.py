"""Posts runs on kept connections and waits until all are settled."""

import asyncio
import json
import time
from dataclasses import dataclass

from benchmarks.scale.process import Request, System

#: How long the database is left alone between two looks at whether all is done, in seconds.
LOOK = 0.05

#: The longest that a load may take, in seconds.
MOST = 600


class Connection:
    """One kept connection to one server."""

    def __init__(self, url: str) -> None:
        self._host, _, self._port = url.removeprefix("http://").partition(":")

    async def open(self) -> None:
        """Raises `OSError`."""
        self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))

    async def post(self, request: Request, before: dict[str, object]) -> dict[str, object]:
        """What is answered, on another connection where a server has closed this idle one.

        Raises `AssertionError` where it is no success.
        """
        try:
            return await self._post(request, before)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            await self.open()
            return await self._post(request, before)

    async def _post(self, request: Request, before: dict[str, object]) -> dict[str, object]:
        content = json.dumps(request.body).encode()
        lines = [
            f"POST {request.path.format_map(before)} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        answered = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        [length] = [
            int(line.partition(":")[2])
            for line in answered.splitlines()
            if line.startswith("content-length:")
        ]
        told = await self._reader.readexactly(length)
        assert answered.split(" ", 2)[1].startswith("2"), (answered, told)
        return dict(json.loads(told))

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Load:
    """How long it took from the first request to the last run's end, in seconds."""

    accepted: float
    seconds: float


def load(system: System, runs: int, *, clients: int = 16, every: float = 0.0) -> Load:
    """So many runs by so many clients, or one `every` so many seconds; all settled."""
    began = time.perf_counter()
    asyncio.run(_post(system, runs, clients, every))
    accepted = time.perf_counter() - began
    while left := system.unsettled():
        assert time.perf_counter() - began < MOST, f"{left} runs are not done"
        time.sleep(LOOK)
    return Load(accepted, time.perf_counter() - began)


async def _post(system: System, runs: int, clients: int, every: float) -> None:
    rest, began = iter(range(runs)), time.perf_counter()

    async def client() -> None:
        connections: dict[str, Connection] = {}
        for number in rest:
            if every and (early := began + number * every - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            answer: dict[str, object] = {}
            for request in system.posts(number):
                if request.url not in connections:
                    connections[request.url] = Connection(request.url)
                    await connections[request.url].open()
                answer = await connections[request.url].post(request, answer)
        for connection in connections.values():
            connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
