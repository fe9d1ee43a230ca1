"""The two parsers of uvicorn, and ours on top of one: CPU of a request, and endless heads."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

REQUESTS = 20_000

#: Sent as a head, and as trailers, in MiB.
SENT = 64

#: An application that answers at once, behind a parser.
_SERVE = """
import sys, socket, uvicorn
from api.middleware.connections import guarded
from api.middleware.places import ConnectionLimits
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
door = socket.socket(); door.bind(("127.0.0.1", 0)); print(door.getsockname()[1], flush=True)
refused = b"HTTP/1.1 431 no\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n"
http = guarded(ConnectionLimits(), lambda error: refused) if sys.argv[1] == "ours" else sys.argv[1]
uvicorn.Server(uvicorn.Config(app, http=http, log_config=None, access_log=False)).run([door])
"""


class _Parser:
    """A process that answers by one of them."""

    def __init__(self, name: str) -> None:
        root = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        while True:
            with suppress(OSError), self.connected():
                return
            time.sleep(0.05)

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def cpu_us(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / TICKS

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+)", status)
        assert match is not None
        return int(match[1]) / 1024

    def growth(self, begin: bytes, line: bytes) -> float:
        """How much its memory grows while so much is sent that begins like this."""
        before, piece = self.memory_mb(), line * (64 * 1024 // len(line))
        with self.connected() as client, suppress(OSError):
            client.sendall(begin)
            for _ in range(SENT * 16):
                client.sendall(piece)
        return self.memory_mb() - before


def _one(name: str) -> dict[str, float]:
    parser = _Parser(name)
    try:
        request = b"GET /runs HTTP/1.1\r\nhost: a\r\naccept: */*\r\nx-api-key: rw_a\r\n\r\n"
        with parser.connected() as client:
            before = parser.cpu_us()
            for _ in range(REQUESTS):
                client.sendall(request)
                answer = b""
                while not answer.endswith(b"ok"):  # it may come in two parts
                    answer += client.recv(4096)
            cpu = (parser.cpu_us() - before) / REQUESTS
        head = parser.growth(b"GET / HTTP/1.1\r\n", b"x-a: b" + b"c" * 90 + b"\r\n")
        chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        trailers = parser.growth(chunked, b"x-a: b" + b"c" * 90 + b"\r\n")
    finally:
        parser.process.kill()
        parser.process.wait()
    return {
        f"{name}: a request, µs": cpu,
        f"{name}: {SENT} MiB of a head, MB": head,
        f"{name}: {SENT} MiB of trailers, MB": trailers,
    }


def measure() -> dict[str, float]:
    """CPU of a request on a kept connection, and growth by a head and by trailers without end."""
    return {**_one("h11"), **_one("httptools"), **_one("ours")}
