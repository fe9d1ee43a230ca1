"""On real sockets: of whom nothing is read for a while, and who goes before he is answered."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from api.app import HttpLimits, create_app
from api.errors.problems import encoded
from api.middleware.connections import DROPPED, GuardedProtocol, guarded
from api.middleware.places import (
    PAUSE,
    READERS,
    SENDING_ON,
    ConnectionLimits,
    Connections,
    PacedFlow,
)
from graph.compose import open_runs
from graph.queue.share import BURST, OWED, LoopShare
from graph.settings import Settings
from graph.settings.configured import KeyRing, new_key
from tests.support.clocks import StandingClock
from tests.support.patience import patience, until, wait_until
from tests.support.servers.server_process import ServerProcess, http_client, serving

KEYS = {name: new_key(name) for name in ("alice", "bob")}

#: By how much a server may grow, in bytes.
GROWTH = 20 * 2**20


def headers(owner: str) -> dict[str, str]:
    return {"x-api-key": KEYS[owner][0]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    entries = ",".join(str(kept) for _, kept in KEYS.values())
    with serving(tmp_path_factory.mktemp("server"), api_keys=entries) as started:
        yield started


def status(server: ServerProcess, field: str) -> int:
    """A number that the kernel tells of the server's process, or of its first thread."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.partition(f"\n{field}:")[2].split()[0])


def connected(server: ServerProcess) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=patience())


def refused(server: ServerProcess) -> socket.socket:
    """A connection that has its answer, and is not closed yet."""
    connection = connected(server)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"hello\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    return connection


def send_on(connections: list[socket.socket], pieces: int) -> int:
    """How many pieces were sent until all are closed."""
    sent = 0
    for _ in range(pieces):
        for connection in connections:
            with suppress(OSError):
                sent += connection.send(b"x")
    return sent


def test_of_who_sends_on_after_a_refusal_little_is_read_at_a_time(server: ServerProcess) -> None:
    """The loop wakes for a read now and then, however many pieces come on many connections."""
    with ExitStack() as stack, http_client(server.url, headers=headers("bob")) as bob:
        assert bob.post("/runs", json={"prompt": "calculate 2 + 2"}).status_code == 201
        connections = [stack.enter_context(closing(refused(server))) for _ in range(10)]
        grown, woken, began = status(server, "VmRSS"), wakes(server), time.monotonic()
        sent = send_on(connections, 300)
        woken, seconds = wakes(server) - woken, time.monotonic() - began
        assert bob.post("/runs", json={"prompt": "calculate 2 + 2"}).status_code == 201
        assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
        grown = (status(server, "VmRSS") - grown) * 1024
    assert sent > 300
    assert woken <= 100 + 4 * seconds / PAUSE
    assert grown < GROWTH


def wakes(server: ServerProcess) -> int:
    return status(server, "voluntary_ctxt_switches")


# Who goes.

STREAM, LIST = (
    f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in ("/runs/stream", "/runs")
)

#: For SO_LINGER: what was not sent is dropped, and the other end is told so.
AT_ONCE = struct.pack("ii", 1, 0)


def test_whoever_goes_before_his_answers_ends_all_of_them(tmp_path: Path) -> None:
    """Also the one ahead of those that were sent ahead, and nothing of it is an error of ours."""
    with serving(tmp_path) as server:

        def watchers() -> float:
            metrics = server.client.get("/metrics").text
            [count] = re.findall(r"^runwright_watchers(?:{.*})? (\S+)", metrics, re.MULTILINE)
            return float(count)

        with closing(connected(server)) as connection:
            connection.sendall(STREAM + LIST * 2)
            wait_until(lambda: watchers() == 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        wait_until(lambda: watchers() == 0)
        for _ in range(20):
            with closing(connected(server)) as connection:
                connection.sendall(LIST * 3)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        server.client.get("/health")
        server.terminate()
        assert not [line for line in server.lines if "error" in line or "Traceback" in line]


# One that took too much: served in this process, by a clock that stands still.


class CountedFlow(PacedFlow):
    """Counts how often it is held, and for how long it was the last time, in seconds."""

    holds = 0
    held_for = 0.0

    def hold(self, seconds: float) -> None:
        if self._held is None:
            self.holds += 1
            self.held_for = seconds
        super().hold(seconds)


class Served:
    """The application behind real sockets, and the connections that were made to it."""

    def __init__(self, port: int, share: LoopShare, clock: StandingClock) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port, self.share, self.clock = port, share, clock
        self.connections: list[GuardedProtocol] = []

    def took_much(self, owner: str) -> None:
        account = self.share.of(owner)
        self.share.charge(account, BURST + OWED, self.clock.now)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("api.middleware.connections.PacedFlow", CountedFlow)
    clock = StandingClock()
    share = LoopShare(clock)
    settings = Settings(database_url="memory://")
    keys = KeyRing([kept for _, kept in KEYS.values()])
    app = create_app(lambda: open_runs(settings, share=share), HttpLimits(keys=keys), share=share)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    made = cast("Any", guarded(ConnectionLimits(), encoded, share))

    def connection() -> GuardedProtocol:
        one: GuardedProtocol = made(config=config, server_state=ServerState(), app_state={})
        started.connections.append(one)
        return one

    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app):
        listening = await loop.create_server(connection, "127.0.0.1")
        started = Served(listening.sockets[0].getsockname()[1], share, clock)
        try:
            yield started
        finally:
            for one in started.connections:
                one.transport.abort()
            listening.close()
            await listening.wait_closed()


async def test_half_a_request_of_who_took_too_much_is_held_and_goes_on_whole(
    served: Served,
) -> None:
    prompt = "add todo " + "milk and honey " * 500
    body = b'{"prompt": "%s"}' % prompt.encode()
    head = [
        "POST /runs HTTP/1.1",
        "Host: localhost",
        f"X-Api-Key: {KEYS['alice'][0]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
        writer.write("\r\n".join([*head, "", ""]).encode() + body[:1000])
        await until(lambda: served.share.of("alice").seen >= 0)
        [alice] = served.connections
        await until(lambda: alice._body == 1000)
        assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
        flow = flow_of(alice)
        for start in range(1000, 5000, 1000):
            served.took_much("alice")
            holds = flow.holds
            writer.write(body[start : start + 1000])
            await until(lambda start=start: alice._body == start + 1000)
            assert flow.holds == holds + 1
            assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
        writer.write(body[5000:])
        served.clock.now += 1
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 201")
        [run] = (await client.get("/runs", headers=headers("alice"))).json()["runs"]
        record = (await client.get(f"/runs/{run['run_id']}", headers=headers("alice"))).json()
    assert record["prompt"] == prompt
    writer.close()


def flow_of(connection: GuardedProtocol) -> CountedFlow:
    return cast("CountedFlow", connection._flow)


@pytest.fixture
async def sent_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Two connections that were refused and are not closed, by a server that is in no hurry."""
    monkeypatch.setattr("api.middleware.connections.LINGER", 36_000.0)
    writers = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writers.append(writer)
        writer.write(b"hello\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
    yield writers
    for writer in writers:
        writer.close()


async def test_who_sends_on_is_read_of_the_less_often_the_more_there_are(
    served: Served, sent_away: list[asyncio.StreamWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.middleware.connections.PAUSE", 3_600.0)
    for number, (writer, one) in enumerate(zip(sent_away, served.connections, strict=True), 1):
        writer.write(b"x")
        await until(lambda one=one: one._dropped == 1)
        assert flow_of(one).held_for == 3_600 * number
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
        for writer in sent_away:
            writer.write(b"x")
            assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    assert [one._dropped for one in served.connections[:2]] == [1, 1]


async def test_who_sends_on_without_end_is_read_of_no_more(
    served: Served, sent_away: list[asyncio.StreamWriter]
) -> None:
    sent_away[0].write(b"x" * (2 * DROPPED))
    await until(lambda: served.connections[0]._dropped > DROPPED)
    assert flow_of(served.connections[0])._stopped


async def test_what_comes_of_a_stranger_is_counted_before_it_is_a_request(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    stranger = served.share.of_anonymous("127.0.0.1")
    assert stranger.seen < 0
    writer.write(b"GET / HTTP/1.1\r\n")
    await until(lambda: stranger.seen >= 0)
    writer.close()


# Who does not read what he is sent.


class Unread(asyncio.Transport):
    """Has been sent so many bytes that were not read."""

    aborted = False

    def get_write_buffer_size(self) -> int:
        return 0 if self.aborted else 1000

    def abort(self) -> None:
        self.aborted = True


def test_of_many_at_one_address_who_do_not_read_the_one_that_waits_longest_is_closed() -> None:
    opened = Connections(ConnectionLimits(unread=(READERS - 2) * 1000))
    waiting = [Unread() for _ in range(READERS)]
    for one in waiting:
        opened.note_unread(one, "192.0.2.1")
        opened.note_unread(Unread(), "192.0.2.2")
    assert not any(one.aborted for one in waiting)  # few may have as much as there is
    opened.note_read(waiting[0], "192.0.2.1")
    opened.note_unread(waiting[0], "192.0.2.1")
    opened.note_unread(Unread(), "192.0.2.1")
    assert [one.aborted for one in waiting] == [False, True, *[False] * (READERS - 2)]


# Who comes again and again to be refused.


def test_of_many_at_one_address_who_send_on_the_oldest_is_closed() -> None:
    """Of each the less is read the more there are, so that those who have gone would be kept."""
    opened = Connections(ConnectionLimits())
    sending = [Unread() for _ in range(SENDING_ON + 2)]
    counts = [opened.note_sending_on(one, "192.0.2.1") for one in sending]
    assert counts == [*range(1, SENDING_ON + 1), SENDING_ON, SENDING_ON]
    assert [one.aborted for one in sending] == [True, True, *[False] * SENDING_ON]
    assert opened.note_sending_on(Unread(), "192.0.2.2") == 1
    opened.leave(sending[-1], "192.0.2.1", admitted=False)
    assert opened.note_sending_on(sending[-2], "192.0.2.1") == SENDING_ON - 1
