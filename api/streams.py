"""Server-sent events, as WHATWG's HTML standard defines them: of one run, and of all that change.

`GET /runs/{run_id}/stream` has the events of one run, those of the past and then as they come.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing
from functools import lru_cache
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.middleware.guards import unless_gone
from api.views import Heartbeat, RunEvent, shape
from graph.record.events import Event
from graph.runs.watch import (
    KEPT_DELTAS,
    AnswerDelta,
    ChangeSubscription,
    RunChanged,
    RunSubscription,
    StepProgress,
)
from graph.state import Status

#: Tells when to come again: after a connection that broke, and after the server's end.
RETRY = b"retry: 2000\n\n"

#: A stream is never kept by anybody on its way, nor held back until there is more of it.
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def message(kind: str, data: bytes, *, number: int | None = None) -> bytes:
    """One event; `number` is its id, from which a client that comes again goes on.

    JSON escapes line ends, so that any `data` is one line.
    """
    numbered = b"" if number is None else b"id: %d\n" % number
    return numbered + b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


async def stream(send: Send, messages: AsyncGenerator[bytes, None]) -> None:
    """Answer with the messages as they come; a reader that is slow holds up nobody else."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with aclosing(messages):
        async for part in messages:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


# Heartbeats: by them a client tells a run in which nothing happens from a connection that broke.
#
# They are events with a name, since a page cannot see a comment, and without an id, since they are
# nothing to go on from.

T = TypeVar("T")


#: How often a stream says that it is alive, in seconds.
HEARTBEAT = 5.0


class HeartbeatTimer:
    """The heartbeats of one stream, `every` so many seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._due = asyncio.get_running_loop().time() + every

    async def wait(self, happening: Awaitable[T]) -> T | None:
        """What was waited for, or None when the next heartbeat is due before."""
        try:
            async with asyncio.timeout_at(self._due):
                return await happening
        except TimeoutError:
            return None

    def due(self) -> bytes:
        """The heartbeat when it is due, else nothing."""
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return b""
        self._due = now + self._every
        return message("heartbeat", shape(Heartbeat).json({"server_time": time.time()}))


class EventNotFound(Exception):
    """What a reader wants to go on from has not happened; the run has `last` events."""

    def __init__(self, number: int, last: int) -> None:
        super().__init__(f"there is no event {number}, but {last} so far")
        self.number = number
        self.last = last


def check_position(subscription: RunSubscription, number: int) -> None:
    """Raises `EventNotFound` where a reader has seen more than there is."""
    if number > len(subscription.events):
        raise EventNotFound(number, len(subscription.events))


# Events as they are sent: each is encoded once, however many watch the run.


#: Events are put together up to about this size, in bytes: more would be kept for a slow reader.
BATCH = 256 * 1024


class EncodedEvents:
    """What the watchers of a subscription are sent, kept as long as the subscription."""

    def __init__(self) -> None:
        self._encoded: WeakKeyDictionary[RunSubscription, dict[int, bytes]] = WeakKeyDictionary()
        self._deltas: WeakKeyDictionary[RunSubscription, _Deltas] = WeakKeyDictionary()

    def after(self, subscription: RunSubscription, number: int) -> tuple[bytes, int]:
        """The next events after this one in one piece, and the number of the last one in it."""
        encoded_events = self._encoded.setdefault(subscription, {})
        due: list[bytes] = []
        size = 0
        for event in subscription.events[number:]:
            encoded = encoded_events.get(event["id"]) or encoded_events.setdefault(
                event["id"], _encode(event)
            )
            due.append(encoded)
            size += len(encoded)
            if size >= BATCH:
                break
        return b"".join(due), number + len(due)

    def spoken_after(self, subscription: RunSubscription, spoken: int) -> bytes:
        """The parts of the answer after the first so many, as far as they are kept."""
        if spoken == subscription.spoken:
            return b""
        deltas = self._deltas.setdefault(subscription, _Deltas())
        return deltas.after(subscription, spoken)


class _Deltas:
    """The parts of the answer that a subscription keeps, each encoded at its first sending."""

    def __init__(self) -> None:
        self._encoded: deque[bytes] = deque(maxlen=KEPT_DELTAS)
        self._spoken = 0

    def after(self, subscription: RunSubscription, spoken: int) -> bytes:
        self._encoded.extend(map(_delta, subscription.deltas_after(self._spoken)))
        self._spoken = subscription.spoken
        due = min(subscription.spoken - spoken, len(self._encoded))
        return b"".join(islice(self._encoded, len(self._encoded) - due, None))


def _delta(delta: AnswerDelta) -> bytes:
    return message("answer.delta", to_json(delta))


def _encode(event: Event) -> bytes:
    return message(event["type"], shape(RunEvent).json(event), number=event["id"])


def _progress(subscription: RunSubscription) -> bytes:
    """How far the attempt is that is being made; live only, so that it has no number."""
    if subscription.progress is None:
        return b""
    return _encoded_progress(tuple(subscription.progress.items()))


@lru_cache(maxsize=256)
def _encoded_progress(progress: tuple[tuple[str, object], ...]) -> bytes:
    """Encoded once, too, for all who watch the run at the time."""
    return message("step.progress", shape(StepProgress).json(dict(progress)))


class RunStream(Response):
    """A watcher of a run for as long as its client stays; `heartbeat` in seconds.

    It watches only while it is being sent, so that nothing is left of a client that went before.
    Sending it raises `RunNotFound`, `StorageUnavailable` and `EventNotFound` ahead of the answer.
    """

    def __init__(
        self,
        watching: AbstractAsyncContextManager[RunSubscription],
        *,
        after: int,
        encoded_events: EncodedEvents,
        heartbeat: float,
    ) -> None:
        super().__init__()
        self._watching = watching
        self._after = after
        self._encoded = encoded_events
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        async with self._watching as subscription:
            check_position(subscription, self._after)
            if subscription.ended and self._after == len(subscription.events):
                # The only answer that keeps a browser from coming again.
                await Response(None, 204, {"Cache-Control": "no-store"})(scope, receive, send)
                return
            await unless_gone(receive, stream(send, self._messages(subscription)))

    async def _messages(self, subscription: RunSubscription) -> AsyncGenerator[bytes, None]:
        heartbeats = HeartbeatTimer(self._heartbeat)
        chunk, number, tellings = RETRY, self._after, subscription.tellings
        spoken = subscription.spoken  # who comes later gets the whole at the end
        while True:
            words, spoken = self._spoken(subscription, number, spoken)
            due, number = self._encoded.after(subscription, number)
            if chunk or words or due:
                yield chunk + words + due
            chunk = b""
            if number < len(subscription.events):
                continue
            if subscription.ended:
                return
            if subscription.closed:
                yield RETRY
                return
            await heartbeats.wait(subscription.after(number, tellings, spoken))
            chunk = heartbeats.due()
            if subscription.tellings != tellings:
                chunk += _progress(subscription)
                tellings = subscription.tellings

    def _spoken(self, subscription: RunSubscription, number: int, spoken: int) -> tuple[bytes, int]:
        """The words of the answer for one who has read so many events, and how many that were.

        They come after what happened before, and before the end of the run.
        """
        if number < subscription.spoken_at:
            return b"", spoken
        return self._encoded.spoken_after(subscription, spoken), subscription.spoken


# `GET /runs/stream`: which runs change, for a client that shows many of them.


#: The shortest time between two messages, in seconds: changes in between are one.
PAUSE = 0.1


class ChangesStream(Response):
    """A watcher of runs for as long as its client stays; `heartbeat` in seconds."""

    def __init__(
        self, following: AbstractContextManager[ChangeSubscription], *, heartbeat: float
    ) -> None:
        super().__init__()
        self._following = following
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        with self._following as changes:
            await unless_gone(receive, stream(send, self._messages(changes)))

    async def _messages(self, changes: ChangeSubscription) -> AsyncGenerator[bytes, None]:
        heartbeats = HeartbeatTimer(self._heartbeat)
        yield RETRY
        while not changes.closed:
            changed = await heartbeats.wait(changes.next()) or []
            if chunk := heartbeats.due() + b"".join(map(_changed, changed)):
                yield chunk
            if changed:
                await asyncio.sleep(PAUSE)
        yield RETRY


def _changed(change: RunChanged) -> bytes:
    said = (change["run_id"], change["status"], change["last_event_id"])
    return _encoded_change(*said, tuple(change["progress"].items()))


@lru_cache(maxsize=1024)
def _encoded_change(
    run_id: str, status: Status, last_event_id: int, progress: tuple[tuple[str, object], ...]
) -> bytes:
    """Encoded once for all who watch the owner's runs, whenever each of them is told."""
    return message(
        "run.changed",
        to_json(
            {
                "run_id": run_id,
                "status": status,
                "last_event_id": last_event_id,
                "progress": dict(progress),
            }
        ),
    )
