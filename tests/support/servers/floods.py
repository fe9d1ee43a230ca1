"""What a stranger, or one owner, may send that is refused, as fast as it is answered.

A process of its own (`python -m tests.support.servers.floods NAME URL KEY`), as `attacks` has it.
"""

import gzip
import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from tests.support.servers.attacks import Attacker, under_way

#: So many connections send, and so many are held.
SENDERS, HELD = 8, 100

JSON = "Content-Type: application/json"


def bare(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """The head of a request without a key."""
    return "\r\n".join(
        [f"{method} {path} HTTP/{version}", "Host: localhost", *lines, "", ""]
    ).encode()


def whole(head: Callable[..., bytes], path: str, body: bytes, *lines: str) -> bytes:
    """A post with its body."""
    return head(path, f"Content-Length: {len(body)}", *lines, method="POST") + body


def owned(attacker: Attacker) -> Callable[..., bytes]:
    """Heads with the key."""

    def head(path: str, *lines: str, method: str = "GET") -> bytes:
        return bare(path, f"X-Api-Key: {attacker.key}", *lines, method=method)

    return head


def flood(attacker: Attacker, requests: Iterable[bytes]) -> None:
    """Send each of them as soon as there is something to read of the one before."""
    turns = itertools.cycle(requests)
    answered = threading.Event()

    def send() -> None:
        while True:
            with suppress(OSError), socket.create_connection(address(attacker)) as connection:
                for request in turns:
                    connection.sendall(request)
                    if not connection.recv(2**20):
                        break
                    answered.set()

    for _ in range(SENDERS):
        threading.Thread(target=send, daemon=True).start()
    answered.wait()
    under_way()
    time.sleep(3600)


def address(attacker: Attacker) -> tuple[str, int]:
    return attacker.address.host, attacker.address.port or 80


def bodies(attacker: Attacker) -> Iterator[bytes]:
    """JSON that costs much to read for its size, where a run would be begun."""
    head = owned(attacker)
    many = ",".join(f'"{number:x}":1' for number in range(6_000))
    twice = '"prompt":"calculate 2 + 2",' * 2_000
    for body in (
        f'{{"prompt":"calculate 2 + 2",{many}}}',
        f'{{"metadata":{{{many}}},"prompt":"calculate 2 + 2"}}',
        f'{{{twice}"prompt":"calculate 2 + 2"}}',
        '{"prompt":' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"prompt":1' + "0" * 60_000 + "}",
        '{"prompt":1e' + "9" * 60_000 + "}",
        '{"prompt":"' + "\\ud800" * 10_000 + '"}',
    ):
        yield whole(head, "/runs", body.encode(), JSON)


def undecodable(attacker: Attacker) -> Iterator[bytes]:
    head = owned(attacker)
    for body in (
        b'{"prompt": "\xff\xfe"}',
        b"\xff" * 60_000,
        b'\xff\xfe{\x00"\x00',
        b"\x00" * 60_000,
    ):
        yield whole(head, "/runs", body, JSON)
        yield whole(head, "/runs/search", body, JSON)
    yield bare("/runs?status=%ff%fe&q=%00", f"X-Api-Key: {attacker.key}")
    yield bare("/runs/%ff%fe%00")


def garbage_at_mcp(attacker: Attacker) -> Iterator[bytes]:
    head = owned(attacker)
    accept = "Accept: application/json, text/event-stream"
    for body in (
        b"",
        b"[]",
        b"{}",
        b"[" * 30_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'
        + b"x" * 60_000
        + b'"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}',
        b'{"jsonrpc":"2.0","id":{"a":1},"method":7}',
        b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'] * 1_000) + b"]",
        b"\xff\xfe\x00",
    ):
        yield whole(head, "/mcp", body, JSON, accept)
        yield whole(bare, "/mcp", body, JSON, accept)


def ranges_of_files(attacker: Attacker) -> Iterator[bytes]:
    many = ",".join(f"{start}-{start}" for start in range(0, 8_000, 2))
    for path in ("/", "/console/main.js", "/docs", "/openapi.json"):
        for wanted in (many, "0-", "-1", "5-2", "0-" + "9" * 5_000, ",".join(["0-"] * 5_000)):
            yield bare(path, f"Range: bytes={wanted}")


def smuggled(attacker: Attacker) -> Iterator[bytes]:
    head = owned(attacker)
    chunked = "Transfer-Encoding: chunked"
    hidden = bare("/runs", f"X-Api-Key: {attacker.key}")
    for lines in (
        (chunked, "Content-Length: 4"),
        ("Content-Length: 4", chunked),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked", "Content-Length: 4"),
        ("Content-Length: -1",),
        ("Content-Length: +4",),
    ):
        yield head("/runs", *lines, JSON, method="POST") + b"0\r\n\r\n" + hidden


def compressed(attacker: Attacker) -> Iterator[bytes]:
    """A body that would be a thousand times as large."""
    bomb = gzip.compress(b'{"prompt": "' + b"a" * 60 * 2**20)[:60_000]
    for encoding in ("gzip", "deflate", "br", "gzip, gzip"):
        yield whole(owned(attacker), "/runs", bomb, JSON, f"Content-Encoding: {encoding}")


def many_parameters(attacker: Attacker) -> Iterator[bytes]:
    head = owned(attacker)
    for query in (
        "&".join(["a=1"] * 7_500),
        "&".join(f"{number:x}" for number in range(6_000)),
        "status=running&" * 2_000,
        "status=" + "%41" * 10_000,
        "limit=" + "9" * 30_000,
        "cursor=" + "A" * 30_000,
        "=" * 30_000,
        "metadata.a=" + "b" * 30_000,
    ):
        yield head(f"/runs?{query}")
        yield bare(f"/runs?{query}")
        yield bare(f"/health?{query}")


#: What is sent at once, over and over.
REQUESTS: Mapping[str, Callable[[Attacker], Iterable[bytes]]] = {
    "401": lambda attacker: [
        bare("/runs"),
        bare("/runs", "X-Api-Key: rw_" + "x" * 40),
        bare("/runs", "Authorization: Bearer " + "y" * 20_000),
    ],
    "404": lambda attacker: [
        owned(attacker)(path)
        for path in (
            "/runs/nothing",
            "/" + "a/" * 10_000,
            "/runs/" + "0" * 30_000,
            "/%2e%2e/%2e%2e",
        )
    ],
    "400": lambda attacker: [
        owned(attacker)("/runs?limit=-1"),
        whole(owned(attacker), "/runs", b'{"prompt": ""}', JSON),
        whole(owned(attacker), "/runs", b'{"prompt": {}, "mode": []}', JSON),
    ],
    "405": lambda attacker: [
        owned(attacker)(path, method=method)
        for path in ("/runs", "/health/live", "/")
        for method in ("DELETE", "PATCH", "TRACE", "PROPFIND", "OPTIONS")
    ],
    "garbage at MCP": garbage_at_mcp,
    "ranges of files": ranges_of_files,
    "other protocols": lambda attacker: [
        bare(
            "/runs/stream",
            "Connection: Upgrade",
            f"Upgrade: {protocol}",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        )
        for protocol in ("websocket", "h2c")
    ],
    "HTTP/1.0": lambda attacker: [
        bare(path, "Connection: keep-alive", version="1.0")
        for path in ("/health/live", "/runs", "/")
    ],
    "many parameters": many_parameters,
    "costly JSON": bodies,
    "bytes that are no text": undecodable,
    "two lengths": smuggled,
    "bodies on request": lambda attacker: [
        owned(attacker)("/runs", "Expect: 100-continue", "Content-Length: 20", JSON, method="POST")
        + b'{"prompt": "2 + 2"} ',
        bare("/runs", "Expect: 100-continue", "Content-Length: 20", JSON, method="POST"),
        bare("/health/live", "Expect: " + "x" * 10_000),
    ],
    "compressed bodies": compressed,
}


def trickle(attacker: Attacker, begun: bytes) -> None:
    """A byte a second on many connections."""

    def again() -> socket.socket:
        connection = socket.create_connection(address(attacker))
        connection.sendall(begun)
        return connection

    held = [again() for _ in range(HELD)]
    under_way()
    while True:
        time.sleep(1)
        for place, connection in enumerate(held):
            try:
                connection.sendall(b"x")
            except OSError:
                connection.close()
                held[place] = again()


def come_and_go(attacker: Attacker) -> None:
    for number in itertools.count():
        for _ in range(HELD):
            socket.create_connection(address(attacker)).close()
        if number == 0:
            under_way()


def _flooding(name: str) -> Callable[[Attacker], None]:
    return lambda attacker: flood(attacker, [*REQUESTS[name](attacker)])


def _trickling(of: Sequence[str]) -> Callable[[Attacker], None]:
    return lambda attacker: trickle(attacker, "\r\n".join(of).encode())


FLOODS: Mapping[str, Callable[[Attacker], None]] = {
    **{name: _flooding(name) for name in REQUESTS},
    "a byte a second of heads": _trickling(["GET / HTTP/1.1", "x-a: "]),
    "a byte a second of bodies": _trickling(
        ["POST /runs HTTP/1.1", "Host: localhost", JSON, "Content-Length: 60000", "", ""]
    ),
    "connections that come and go": come_and_go,
}

if __name__ == "__main__":
    FLOODS[sys.argv[1]](Attacker(sys.argv[2], json.loads(sys.argv[3])))
