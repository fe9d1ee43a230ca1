"""Watching a run of a server that comes and goes: nothing is missed and nothing comes twice."""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from api.cli import server_run
from api.cli.follow import Detached, NotCancelled, NotStarted, NotWatched
from api.cli.server_run import ServerRun, post_task
from tests.support.patience import patience
from tests.support.wording.messages import wording

RUN_ID = "3649e764-182c-4e2a-baa5-565cd8d75ff6"

Answer = Callable[[httpx.Request], httpx.Response]


class Broken(httpx.AsyncByteStream):
    """A body whose connection is lost after `parts`, or ends there in order."""

    def __init__(self, parts: list[bytes], *, lost: bool) -> None:
        self._parts = parts
        self._lost = lost

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._lost:
            raise httpx.ReadError("connection reset")


def told(number: int, kind: str = "run.queued", **data: Any) -> bytes:
    """One event as a server sends it."""
    sent = {
        "id": number,
        "type": kind,
        "time": "2026-11-22T12:00:00.250Z",
        "node": None,
        "step": None,
        "attempt": None,
        "generation": None,
        "data": data,
    }
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), json.dumps(sent).encode())


HEARTBEAT = b'event: heartbeat\ndata: {"server_time": "2026-11-22T12:00:00Z"}\n\n'
RETRY = b"retry: 20\n\n"
END = told(4, "end", status="completed")


def streaming(*parts: bytes, lost: bool = False) -> Answer:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return lambda _: httpx.Response(200, headers=headers, stream=Broken(list(parts), lost=lost))


def refusing(status: int, detail: str = "not now") -> Answer:
    return lambda _: httpx.Response(status, json={"title": "No", "detail": detail})


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody listens", request=request)


class FakeServer:
    """Answers each request as scripted, the last way for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self.notes: list[str] = []
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.client = httpx.AsyncClient(
            base_url="http://server:8000", transport=httpx.MockTransport(self._answer)
        )
        self.run = ServerRun(self.client, RUN_ID)

    async def watch(self) -> list[int]:
        """The numbers of the events in the order in which they came."""
        async with self.client:
            return [event["id"] async for event in self.run.events(self.notes.append)]

    @property
    def last_seen(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.requests]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return next(self._answers)(request)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is waited for has all the time, and is asked often."""
    monkeypatch.setattr(server_run, "SILENCE_LIMIT", patience())
    monkeypatch.setattr(server_run, "PAUSE", 0.01)


@pytest.fixture
def _impatient(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for in vain for long."""
    monkeypatch.setattr(server_run, "SILENCE_LIMIT", 0.1)


async def test_events_come_in_order_up_to_the_end() -> None:
    """Heartbeats are not among them."""
    server = FakeServer(streaming(RETRY, told(1) + told(2), HEARTBEAT, told(3), END))
    assert await server.watch() == [1, 2, 3, 4]
    assert server.last_seen == [None]
    assert server.notes == []


async def test_a_lost_connection_goes_on_behind_the_last_event_that_was_seen() -> None:
    """What comes twice is seen once; half a message is none."""
    server = FakeServer(
        streaming(told(1), told(2), told(3)[:40], lost=True),
        streaming(told(2), told(3), lost=True),
        streaming(END),
    )
    assert await server.watch() == [1, 2, 3, 4]
    assert server.last_seen == [None, "2", "3"]
    assert server.notes == []


async def test_a_server_that_restarts_is_waited_for_and_that_is_said_once() -> None:
    """It says when to come again, is away, is not ready, and goes on."""
    server = FakeServer(
        streaming(told(1), RETRY), unreachable, unreachable, refusing(503), streaming(told(2), END)
    )
    assert await server.watch() == [1, 2, 4]
    assert server.notes == [wording("terminal.server.away", url="http://server:8000")]


@pytest.mark.usefixtures("_impatient")
async def test_a_server_that_stays_away_is_not_waited_for_for_ever() -> None:
    """The run is not lost, only the sight of it."""
    server = FakeServer(streaming(told(1)), unreachable)
    with pytest.raises(Detached) as lost:
        await server.watch()
    assert str(lost.value) == wording("terminal.lost", run_id=RUN_ID)


@pytest.mark.usefixtures("_impatient")
async def test_a_server_that_only_ever_hangs_up_is_not_waited_for_for_ever() -> None:
    """A connection without a word is no sign of life."""
    with pytest.raises(Detached):
        await FakeServer(streaming()).watch()


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (refusing(404, "None."), "refused"),
        (lambda _: httpx.Response(404, text="<html>"), "refused.status"),
        (lambda _: httpx.Response(200, text="hello"), "none"),
        (streaming(b"id: 1\nevent: run.queued\ndata: {}\n\n"), "form"),
        (streaming(b"id: 1\nevent: run.queued\ndata: [\n\n"), "form"),
    ],
)
async def test_what_cannot_be_watched_is_said(answer: Answer, key: str) -> None:
    """In one line, at once."""
    with pytest.raises(NotWatched) as refused:
        await FakeServer(answer).watch()

    said = wording(f"terminal.server.{key}")
    said = said.replace("<detail>", "None.").replace("<url>", "http://server:8000")
    assert str(refused.value).startswith(said.partition("<fault>")[0])


async def test_times_are_those_of_a_run_of_this_process() -> None:
    """Epoch seconds; what is none stays none."""
    started = told(1, "step.started", tool="x", not_before="2026-11-22T12:00:01.500Z")
    failed = told(2, "step.failed", started_at="2026-11-22T12:00:01Z", retry_at=None)
    waiting = told(3, "run.waiting", tools=[], expires_at="2026-11-22T12:00:02Z")
    server = FakeServer(streaming(started, failed, waiting, END))
    first, second, third, _ = [event async for event in server.run.events(server.notes.append)]
    assert first["at"] == 1795348800.25
    assert first["data"]["not_before"] == 1795348801.5
    assert second["data"]["started_at"] == 1795348801.0
    assert second["data"]["retry_at"] is None
    assert third["data"]["expires_at"] == 1795348802.0


async def test_a_cancellation_is_asked_for_until_it_is_heard() -> None:
    """The request is for one run and repeats do nothing more."""
    server = FakeServer(unreachable, refusing(503), lambda _: httpx.Response(200, json={}))
    await server.run.cancel()
    assert [(one.method, one.url.path) for one in server.requests] == [
        ("POST", f"/runs/{RUN_ID}/cancel")
    ] * 3


async def test_a_run_that_has_ended_meanwhile_is_left_as_it_is() -> None:
    """Its events tell how."""
    await FakeServer(refusing(409)).run.cancel()


async def test_a_refused_cancellation_says_why() -> None:
    """And is not asked for again."""
    server = FakeServer(refusing(403, "not yours"))
    with pytest.raises(NotCancelled, match="not yours"):
        await server.run.cancel()
    assert len(server.requests) == 1


async def test_the_record_is_asked_for_until_it_comes() -> None:
    """The run has ended; its record does not run away."""
    server = FakeServer(unreachable, refusing(500), lambda _: httpx.Response(200, json={"a": 1}))
    assert await server.run.record() == {"a": 1}


@pytest.mark.usefixtures("_impatient")
async def test_a_record_that_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(Detached):
        await FakeServer(unreachable).run.record()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (refusing(429, "None."), None),
        (unreachable, "ConnectError"),
        (lambda _: httpx.Response(201, text="<html>"), "JSONDecodeError"),
    ],
)
async def test_a_task_that_was_not_taken_says_so(answer: Answer, fault: str | None) -> None:
    """Nobody posts it twice without knowing."""
    with pytest.raises(NotStarted) as refused:
        await post_task(FakeServer(answer).client, "2 + 2")

    said = wording("terminal.server.refused", detail="None.")
    if fault is not None:
        said = wording("terminal.server.task", url="http://server:8000")
        said = said.replace("ConnectError", fault)
    assert str(refused.value) == said


async def test_an_id_is_never_more_than_a_part_of_the_path() -> None:
    """Whatever a person types."""
    server = FakeServer(refusing(404))
    with pytest.raises(NotWatched):
        async for _ in ServerRun(server.client, "../health?x=1").events(server.notes.append):
            pass
    assert server.requests[0].url.raw_path == b"/runs/..%2Fhealth%3Fx%3D1/stream"
