"""What one owner may try in order to take the service from the others, each until it is killed.

A process of its own (`python -m tests.support.servers.attacks NAME URL KEY`), so that it takes
nothing from who measures. It prints a line once the attack is under way.
"""

import itertools
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import httpx

from tests.support.checkout import ROOT

#: So many connections are held.
SOME, MANY = 200, 700

#: So many requests are sent ahead on a connection.
AHEAD = 30

COMBINING = "a" + "\u0301\u0323\u0489" * 3_000


class Attacker:
    """A client of the server, and bare sockets to it."""

    def __init__(self, url: str, key: str) -> None:
        self.key = key
        self.address = httpx.URL(url)
        self.client = httpx.Client(
            base_url=url, headers={"x-api-key": key}, trust_env=False, timeout=60
        )
        self.held: list[socket.socket] = []

    def ask(self, path: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
        """A request as it is sent."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"X-Api-Key: {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def hold(self, sent: bytes, *, buffer: int | None = None) -> socket.socket:
        """A connection on which this is sent and nothing is read."""
        connection = socket.socket()
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.connect((self.address.host, self.address.port))
        connection.sendall(sent)
        self.held.append(connection)
        return connection

    def run(self, prompt: str) -> str:
        """A run that has come to its end."""
        run_id = str(self.client.post("/runs", json={"prompt": prompt}).json()["run_id"])
        self.client.get(f"/runs/{run_id}/wait?timeout=60")
        return run_id


@contextmanager
def attacking(
    name: str, url: str, key: str, kind: str = "attacks"
) -> Iterator[subprocess.Popen[str]]:
    """A process that attacks; it is under way, and has not given up by the end."""
    command = [sys.executable, "-m", f"tests.support.servers.{kind}", name, url, json.dumps(key)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attacker:
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "under way\n"
            yield attacker
            assert attacker.poll() is None, "it gave up"
        finally:
            attacker.kill()


def under_way() -> None:
    sys.stdout.write("under way\n")
    sys.stdout.flush()


def slow_readers(attacker: Attacker) -> None:
    run_id = attacker.run(", then ".join(["calculate 2 + 2"] * 100))
    wanted = attacker.ask(f"/runs/{run_id}")
    for _ in range(SOME):
        attacker.hold(wanted, buffer=4096)
    under_way()
    time.sleep(3600)


def idle_streams(attacker: Attacker) -> None:
    for _ in range(MANY):
        attacker.hold(attacker.ask("/runs/stream"))
    under_way()
    time.sleep(3600)


def pipelined(attacker: Attacker) -> None:
    """Many requests, one behind the other, before any is answered."""
    for number in range(20):
        attacker.run(f"calculate {number} + 2")
    sent = attacker.ask("/runs") * AHEAD + attacker.ask("/runs", Connection="close")

    def ask(_: int) -> None:
        with suppress(OSError), closing(attacker.hold(sent)) as connection:
            attacker.held.clear()
            while connection.recv(2**16):
                pass

    looped(attacker, ask)


def small_chunks(attacker: Attacker) -> None:
    head = attacker.ask(
        "/runs", method="POST", Transfer_Encoding="chunked", Content_Type="application/json"
    )
    for number in itertools.count():
        connection = attacker.hold(head)
        try:
            for _ in range(1_000):
                connection.sendall(b"1\r\n \r\n" * 50)
        except OSError:
            pass
        attacker.held.clear()
        connection.close()
        if number == 0:
            under_way()


def looped(attacker: Attacker, ask: Callable[[int], object]) -> None:
    for number in itertools.count():
        ask(number)
        if number == 3:
            under_way()


def ranges(attacker: Attacker) -> None:
    run_id = attacker.run(", then ".join(["calculate 2 + 2"] * 100))
    looped(
        attacker,
        lambda n: attacker.client.get(f"/runs/{run_id}/events?after={n % 400}&limit=1000"),
    )


def histories(attacker: Attacker) -> None:
    run_id = attacker.run(", then ".join(["calculate 2 + 2"] * 300))
    looped(attacker, lambda _: attacker.client.get(f"/runs/{run_id}/history?limit=100"))


def idempotency_keys(attacker: Attacker) -> None:
    def post(_: int) -> object:
        headers = {"idempotency-key": str(uuid.uuid4())}
        return attacker.client.post("/runs", json={"prompt": "calculate 2 + 2"}, headers=headers)

    looped(attacker, post)


def deep_json(attacker: Attacker) -> None:
    run_id = attacker.run("calculate 2 + 2")
    bodies = [opened * 30_000 for opened in ("[", '{"a":')] + ["[" * 30_000 + "]" * 30_000]
    paths = ["/runs", "/runs/search", *(f"/runs/{run_id}/{act}" for act in ACTS)]
    calls = [(path, body) for path in paths for body in bodies]
    headers = {"content-type": "application/json"}

    def post(number: int) -> object:
        path, body = calls[number % len(calls)]
        return attacker.client.post(path, content=body, headers=headers)

    looped(attacker, post)


ACTS = ("approve", "reject", "retry", "fork", "cancel")


def combining(attacker: Attacker) -> None:
    prompts = [COMBINING[:9_000], f"add todo {COMBINING[:9_000]}", "calculate " + "\u0301" * 9_000]

    def post(number: int) -> object:
        if number % 2:
            return attacker.client.post("/runs/search", json={"text": COMBINING[:200]})
        return attacker.client.post("/runs", json={"prompt": prompts[number // 2 % 3]})

    looped(attacker, post)


ATTACKS: Mapping[str, Callable[[Attacker], None]] = {
    "slow readers of large answers": slow_readers,
    "idle streams of one owner": idle_streams,
    "pipelined requests": pipelined,
    "many small chunks": small_chunks,
    "ranges of after": ranges,
    "histories of 300 steps": histories,
    "idempotency keys": idempotency_keys,
    "deep JSON": deep_json,
    "combining characters": combining,
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](Attacker(sys.argv[2], json.loads(sys.argv[3])))
