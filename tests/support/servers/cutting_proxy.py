"""A proxy that cuts streams: each of them so many bytes after the head of its answer."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class CuttingProxy:
    """Forwards connections; `cuts` are the bytes of the next streams after which they end.

    An answer that is no stream, and a stream for which there is no cut left, passes whole.
    """

    def __init__(self, target: str, cuts: Sequence[int] = ()) -> None:
        place = urlsplit(target)
        self._target = (place.hostname or "", place.port or 80)
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
        server = socket.create_connection(self._target)
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
        head, left = b"", None
        while data := server.recv(65_536):
            if left is None:
                head += data
                if b"\r\n\r\n" not in head:
                    continue
                top, _, data = head.partition(b"\r\n\r\n")
                client.sendall(top + b"\r\n\r\n")
                head = b""
                if b"text/event-stream" in top:
                    left = self._next_cut()
                if left is None:
                    client.sendall(data)
                    continue
            part = data[:left]
            client.sendall(part)
            left -= len(part)
            if left == 0:
                self.made += 1
                return

    def _next_cut(self) -> int | None:
        with self._lock:
            return self._cuts.pop(0) if self._cuts else None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def cutting(target: str, *cuts: int) -> Iterator[CuttingProxy]:
    """A proxy that is closed at the end."""
    proxy = CuttingProxy(target, cuts)
    try:
        yield proxy
    finally:
        proxy.close()
