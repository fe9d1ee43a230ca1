"""One endpoint never holds up another: not by a bad address, a fault of ours, or being slow."""

import asyncio
import base64
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

import pytest

from graph.settings.configured import WebhookSettings, is_address
from graph.state import RunState, new_run
from graph.storage.open import open_storage
from graph.storage.storage import Storage
from graph.telemetry import webhooks
from graph.telemetry.metrics import Metrics
from tests.support.checkout import ROOT
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import patience, until
from tests.support.runs.fake_runs import LIMITS
from tests.support.servers.server_process import environment

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


@pytest.fixture
async def storage(tmp_path) -> AsyncIterator[Storage]:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        yield storage


@pytest.fixture
def put(tmp_path) -> Callable[..., None]:
    """Puts messages into the outbox, each as its run and endpoint, in this order."""

    def put(*messages: tuple[str, str], at: float | None = None) -> None:
        with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as connection:
            connection.executemany(
                "INSERT INTO outbox (run_id, endpoint, status, at, due)"
                " VALUES (?, ?, 'failed', ?, 0)",
                [(*one, time.time() if at is None else at) for one in messages],
            )

    return put


TAKEN = b"HTTP/1.1 204 \r\nconnection: close\r\n\r\n"


class Endpoint:
    """Takes what is posted to it; it answers that, or never, or with something else."""

    def __init__(self, *, answers: bool, answer: bytes = TAKEN) -> None:
        self.answers, self.answer = answers, answer
        self.asked = 0
        self.heard = b""  # the headers of all requests
        self.host = ""
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    @asynccontextmanager
    async def listening(self, place: socket.socket | None = None) -> AsyncIterator["Endpoint"]:
        at: Any = {"sock": place} if place else {"host": "127.0.0.1", "port": 0}
        async with await asyncio.start_server(self._serve, **at) as server:
            self.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                yield self
            finally:
                self._over.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard += await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # on a busy machine its time was over before
            writer.close()
            return
        self.asked += 1
        self._changed.set()
        if self.answers:
            writer.write(self.answer)
        else:
            await self._over.wait()
        writer.close()

    async def until(self, asked: int) -> None:
        async with asyncio.timeout(patience()):
            while self.asked < asked:
                self._changed.clear()
                await self._changed.wait()


async def _read(run_id: str) -> RunState:
    if run_id == "broken":
        raise ZeroDivisionError
    return new_run("x", run_id=run_id, owner="default", limits=LIMITS, created_at=0.0)


def make_sender(storage: Storage, changed: asyncio.Event, *urls: str) -> webhooks.WebhookSender:
    configured = [
        WebhookSettings.model_construct(url=url, secret_env="S", allow_private=True) for url in urls
    ]
    endpoints = webhooks.make_endpoints(configured, {"S": SECRET})
    return webhooks.WebhookSender(storage, endpoints, Metrics(), _read, lambda _: changed.set())


@asynccontextmanager
async def posting(storage: Storage, *urls: str) -> AsyncIterator[asyncio.Event]:
    """Post to these addresses; what it yields is set where a record has changed."""
    changed = asyncio.Event()
    async with webhooks.sending(make_sender(storage, changed, *urls)):
        yield changed


async def failures(storage: Storage, run_id: str, changed: asyncio.Event) -> Sequence[str]:
    """Why what was to be posted of a run was not, once a record has changed."""
    async with asyncio.timeout(patience()):
        await changed.wait()
    return [one.failure for one in await storage.outbox.undelivered(run_id)]


@pytest.mark.parametrize(
    ("run_id", "bad"),
    [
        ("odd", "http://a..b/x"),
        ("odd", f"http://{'a' * 64}.example/x"),
        ("odd", "http://\U00010c92.example/x"),
        ("broken", "http://127.0.0.1:9/x"),
    ],
)
async def test_one_bad_endpoint_is_put_off_and_holds_up_nobody(storage, put, run_id, bad):
    async with Endpoint(answers=True).listening() as good:
        put((run_id, bad), ("fine", f"{good.host}/hook"))
        async with posting(storage, bad, f"{good.host}/hook") as changed:
            await good.until(1)
            [failure] = await failures(storage, run_id, changed)
            put(("later", f"{good.host}/hook"))
        async with posting(storage, bad, f"{good.host}/hook"):
            await good.until(2)

    assert failure in ("its address cannot be asked", "ZeroDivisionError") or "found" in failure


async def test_a_slow_host_is_asked_a_few_times_at_once_and_holds_up_nobody(storage, put):
    slow, good = Endpoint(answers=False), Endpoint(answers=True)
    async with slow.listening(), good.listening():
        put(*[(f"{n}", f"{slow.host}/hook") for n in range(50)])
        put(*[(f"own {n}", f"{slow.host}?run={n}") for n in range(50)])
        put(("fine", f"{good.host}/hook"), ("fine", f"{good.host}"))
        async with posting(storage, f"{slow.host}/hook", f"{good.host}/hook"):
            await good.until(2)
            await slow.until(webhooks.PER_HOST)
            assert slow.asked == webhooks.PER_HOST


async def test_what_waits_for_a_slow_host_is_not_gone_through_at_every_end_of_a_run(
    storage, put, monkeypatch
):
    """Where much waits, it would cost each of them the time to read it all."""
    looks, due, looked = list[bool](), storage.outbox.due, asyncio.Event()

    async def counted(now: float, *, limit: int, without: Any) -> Any:
        found = await due(now, limit=limit, without=without)
        looks.append(bool(without))
        looked.set()
        return found

    monkeypatch.setattr(storage.outbox, "due", counted)
    monkeypatch.setattr(webhooks, "SPARED", 1e9)
    slow = Endpoint(answers=False)
    async with slow.listening(), asyncio.timeout(patience()):
        put(*[(f"{n}", f"{slow.host}/hook") for n in range(50)])
        sender = make_sender(storage, asyncio.Event(), f"{slow.host}/hook")
        async with webhooks.sending(sender):
            await slow.until(webhooks.PER_HOST)
            for _ in range(9):
                looked.clear()
                sender.notice({**await _read("x"), "status": "completed"})
                await looked.wait()

    assert looks.count(True) == 1
    assert looks.count(False) >= 9


#: What an endpoint may answer, or None where it never does, and why that is a failure.
ODD: dict[str, tuple[bytes | None, str]] = {
    "redirecting": (b"HTTP/1.1 307 \r\nlocation: {}/x\r\n\r\n", "it answered 307"),
    "garbage": (b"\0\xff no HTTP\r\n\r\n" * 99, "RemoteProtocolError"),
    "cut off": (b"HTTP/1.1 204 \r\nlocation:", "RemoteProtocolError"),
    "slow": (None, "it did not answer in time"),
}


@pytest.mark.parametrize("manner", [*ODD, "dead"])
async def test_what_an_endpoint_has_not_taken_is_posted_once_it_is_well(
    storage, put, tmp_path, monkeypatch, manner
):
    """Nothing of it goes anywhere else, and what follows it waits."""
    place = socket.socket()
    place.bind(("127.0.0.1", 0))  # until it listens, who asks is refused
    url = f"http://127.0.0.1:{place.getsockname()[1]}/hook"
    well, elsewhere = Endpoint(answers=True), Endpoint(answers=True)
    answer, reason = ODD.get(manner, (None, "ConnectError"))
    put(("one", url), ("one", url))
    async with elsewhere.listening():
        odd = Endpoint(
            answers=answer is not None,
            answer=(answer or b"").replace(b"{}", elsewhere.host.encode()),
        )
        async with AsyncExitStack() as stack:
            if manner != "dead":
                await stack.enter_async_context(odd.listening(place.dup()))
            if manner == "slow":
                monkeypatch.setattr(webhooks, "TIMEOUT", 0.5)
            async with posting(storage, url) as changed:
                assert await failures(storage, "one", changed) == [reason]
        assert elsewhere.asked == 0
    monkeypatch.undo()
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as connection:
        connection.execute("UPDATE outbox SET due = 0")
    async with well.listening(place), posting(storage, url):
        await well.until(2)


async def test_the_time_for_one_attempt_includes_the_look_up_of_its_host(storage, put, monkeypatch):
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.01)
    put(("slow", "http://hooks.example/x"))
    async with posting(storage, "http://hooks.example/x") as changed:
        assert await failures(storage, "slow", changed) == ["it did not answer in time"]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> list[str]:
    """Whoever looks a name up hears of these addresses, one answer after another; who was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    return asked


async def test_the_address_that_is_asked_is_the_one_that_was_looked_at(storage, put, monkeypatch):
    """A name may stand for another one a moment later."""
    async with Endpoint(answers=True).listening() as good:
        url = good.host.replace("127.0.0.1", "hooks.example")
        asked = resolving(monkeypatch, ["127.0.0.1"], ["203.0.113.1"])
        put(("one", f"{url}/hook"))
        async with posting(storage, f"{url}/hook"):
            await good.until(1)

    assert asked == ["hooks.example"]
    assert f"host: {url.removeprefix('http://')}".encode() in good.heard.lower()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["::1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::10.0.0.1"],
        ["2002:7f00:1::1"],
    ],
    ids=" ".join,
)
async def test_no_name_leads_to_a_private_address(storage, monkeypatch, addresses):
    resolving(monkeypatch, addresses)
    with pytest.raises(webhooks.NotPosted, match="private") as refused:
        await webhooks._located("https://hooks.example/x", allow_private=False)
    assert refused.value.lasting
    resolving(monkeypatch, ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8"])
    number, _ = await webhooks._located("https://hooks.example/x", allow_private=False)
    assert number == "https://8.8.8.8:443/x"


async def test_a_message_is_given_up_after_a_day(storage, put):
    put(("old", "http://127.0.0.1:9/x"), at=time.time() - 86_400)
    async with posting(storage, "http://127.0.0.1:9/x") as changed:
        await failures(storage, "old", changed)
        [told] = await storage.outbox.undelivered("old")

    assert told.given_up


async def test_what_stands_behind_an_earlier_message_is_not_what_is_due_next(storage, put):
    put(("one", "http://a/x"), ("one", "http://a/x"), ("two", "http://a/x"))
    outbox, now = storage.outbox, time.time()
    first, other = await outbox.due(now, limit=9)
    assert await outbox.next_due(after=now) is None
    await outbox.postpone(first.number, until=now + 900, failure="x")
    await outbox.postpone(first.number + 1, until=now + 300, failure="x")
    await outbox.postpone(other.number, until=now + 600, failure="x")

    assert await outbox.due(now, limit=9) == []
    assert await outbox.next_due(after=now) == now + 600
    await outbox.give_up(first.number, failure="x")
    assert await outbox.next_due(after=now) == now + 300


async def test_hosts_that_can_take_no_more_are_left_out(storage, put):
    urls = ("http://a/x", "http://a", "http://a?x", "http://ab/x", "http://a:80/x")
    put(*[(url, url) for url in urls])

    async def left(*without: str) -> list[str]:
        due = await storage.outbox.due(time.time(), limit=9, without=without)
        return [one.endpoint for one in due]

    assert await left("http://a/") == ["http://a?x", "http://ab/x", "http://a:80/x"]
    assert await left(*map(webhooks._beginning, urls)) == []


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 64}.example/", "http://.b/"])
def test_a_host_that_no_name_can_have_is_refused(url):
    assert not is_address(url)


_LIST = """
import sys
from api.cli.command import run_command
code = run_command(["list"])
print("prometheus_client" in sys.modules, code)
"""


async def test_of_a_fleet_a_process_posts_soon_what_another_settles_and_only_where_it_is_to(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "IDLE", 3600.0)
    async with (
        open_storage(postgres.empty(), shared=True) as storage,
        Endpoint(answers=True).listening() as mine,
        posting(storage, mine.host),
    ):
        other, old = "http://127.0.0.1:9/x", time.time() - webhooks.TRIED

        def put(endpoint: str, at: float) -> None:
            postgres.execute(
                "INSERT INTO runwright.outbox (run_id, endpoint, status, at, due)"
                " VALUES (%s, %s, 'failed', %s, 0)",
                *(str(at), endpoint, at),
            )

        put(other, time.time())
        put(other, old)
        left = "SELECT given_up FROM runwright.outbox ORDER BY number"
        await until(lambda: postgres.execute(left) == [(False,), (True,)])
        await asyncio.sleep(0.5)  # what has ended wakes it once more
        put(mine.host, time.time())
        await mine.until(1)
        await until(lambda: postgres.execute(left) == [(False,), (True,)])


@pytest.mark.slow  # a process that is not forked
async def test_a_command_that_reads_needs_no_secret_and_loads_no_metrics(tmp_path):
    async with open_storage(f"sqlite:///{tmp_path}/runs.db"):
        pass  # it is made
    hooks = '[{"url": "https://hooks.example/x", "secret_env": "NOT_SET"}]'
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LIST),
        cwd=ROOT,
        env=environment(tmp_path, webhooks=hooks, traces="otlp"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await command.communicate()

    assert out.decode() == "no runs\nFalse 0\n", err.decode()
