"""A proxy that cuts streams: each of them so many bytes after the head of its answer.

Before several servers it is a balancer, too: each request goes to the next of them.
"""

import itertools
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_LAST_CHUNK = b"\r\n0\r\n\r\n"


class CuttingProxy:
    """Forwards connections; `cuts` are the bytes of the next streams after which they end.

    An answer that is no stream, and a stream for which there is no cut left, passes whole. With
    several targets every connection is for one request.
    """

    def __init__(self, targets: Sequence[str], cuts: Sequence[int] = ()) -> None:
        places = map(urlsplit, targets)
        self._targets = [(place.hostname or "", place.port or 80) for place in places]
        self._next = itertools.cycle(self._targets)  # one step of it is atomic
        self._cuts = [*cuts]
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.made = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self, *cuts: int) -> None:
        """Cut so many more streams."""
        with self._lock:
            self._cuts += cuts

    def close(self) -> None:
        """Take no further connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(next(self._next))
        asking = threading.Thread(target=_pump, args=(client, server), daemon=True)
        asking.start()
        with suppress(OSError):
            self._answer(server, client)
        for one in (client, server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        asking.join()
        client.close()
        server.close()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        kept = b""
        while True:
            while b"\r\n\r\n" not in kept:
                if not (data := server.recv(65_536)):
                    return
                kept += data
            head, _, kept = kept.partition(b"\r\n\r\n")
            is_only = len(self._targets) > 1
            left = self._next_cut() if b"text/event-stream" in head else None
            if left is not None:
                # A cut is not announced: an answer after which the connection is said to be closed,
                # Node takes for whole wherever it ends.
                head = head.replace(b"\r\nconnection: close", b"")
            elif is_only:
                head += b"\r\nconnection: close"
            client.sendall(head + b"\r\n\r\n")
            if left is not None:
                _pass(server, client, kept, left)
                self.made += 1
                return
            size = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
            if size is None and b"chunked" in head.lower():
                kept = _pass_chunks(server, client, kept)
            else:
                kept = _pass(server, client, kept, int(size[1]) if size else 0)
            if is_only:
                return

    def _next_cut(self) -> int | None:
        with self._lock:
            return self._cuts.pop(0) if self._cuts else None


def _pass(source: socket.socket, sink: socket.socket, kept: bytes, count: int) -> bytes:
    """Pass so many bytes of what was `kept` and what comes; what is left over."""
    while count > 0:
        if not kept and not (kept := source.recv(65_536)):
            return b""
        part = kept[:count]
        sink.sendall(part)
        kept = kept[len(part) :]
        count -= len(part)
    return kept


def _pass_chunks(source: socket.socket, sink: socket.socket, kept: bytes) -> bytes:
    """The same up to the last chunk, whose mark is in no event: their lines end without a CR."""
    sink.sendall(kept)
    tail = kept[-len(_LAST_CHUNK) :]
    while not tail.endswith(_LAST_CHUNK):
        if not (data := source.recv(65_536)):
            return b""
        sink.sendall(data)
        tail = (tail + data)[-len(_LAST_CHUNK) :]
    return b""


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def cutting(target: str | Sequence[str], *cuts: int) -> Iterator[CuttingProxy]:
    """A proxy before one server or several, that is closed at the end."""
    proxy = CuttingProxy([target] if isinstance(target, str) else target, cuts)
    try:
        yield proxy
    finally:
        proxy.close()
