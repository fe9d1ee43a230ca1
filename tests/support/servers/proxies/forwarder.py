"""The one address of a database that fails over: a test says where it leads to from now on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: What is passed on at once, in bytes.
PART = 65_536


class Forwarder:
    """Passes each connection on to the `target` of the time when it was made, a socket's path.

    Those to a former target are not told: while that one stands still they get no answer.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.port = 0
        self._ready, self._closed = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()))
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """Take no more connections, and cut those that there are."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closed.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there, to = await asyncio.open_unix_connection(self.target)
            try:
                await asyncio.gather(_pass(reader, to), _pass(there, writer))
            finally:
                to.close()
        writer.close()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await source.read(PART):
            sink.write(part)
            await sink.drain()
    sink.close()  # neither end of Postgres' protocol goes on when the other one has ended


@contextmanager
def forwarding(target: str) -> Iterator[Forwarder]:
    """One that is closed at the end."""
    made = Forwarder(target)
    try:
        yield made
    finally:
        made.close()
