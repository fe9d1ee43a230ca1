"""A proxy before Postgres that lets no notice through, as a pooler of transactions does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: The kind of message in which Postgres tells what was notified.
NOTICE = b"A"


@contextmanager
def deaf_proxy(target: str) -> Iterator[int]:
    """The port of one before the socket `target`; those that use it end before it does."""
    serving: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    serving.append(threading.Thread(target=_serve, args=(client, target)))
                    serving[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *serving):
                thread.join()


def _serve(client: socket.socket, target: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as server:
        server.connect(target)
        asking = threading.Thread(target=_ask, args=(client, server))
        asking.start()
        _answer(server, client)
        asking.join()


def _ask(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while data := client.recv(65_536):
            server.sendall(data)
    _end(client, server)


def _answer(server: socket.socket, client: socket.socket) -> None:
    """Pass message by message; one byte says its kind, and four how long the rest is."""
    with suppress(OSError), server.makefile("rb") as answers:
        while len(begun := answers.read(5)) == len("kind "):
            kind, head = begun[:1], begun[1:]
            rest = answers.read(int.from_bytes(head) - 4)
            if kind != NOTICE:
                client.sendall(kind + head + rest)
    _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
