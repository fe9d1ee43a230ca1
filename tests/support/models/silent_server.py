"""A server that accepts every connection, reads what it is sent, and never says a word."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SilentServer:
    """Where it listens, which connections it accepted there, and what it was sent on them."""

    url: str
    accepted: list[Any] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def silence(port: int = 0) -> Iterator[SilentServer]:
    """A server on a loopback port, a free one if none is given."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            server.accepted.append(self.client_address)
            while words := self.request.recv(65_536):
                server.heard.append(words)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up may break its connection."""

    with Listener(("127.0.0.1", port), Handler) as listener:
        server = SilentServer(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
