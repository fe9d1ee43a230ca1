"""What one connection, one address and all together may take, before a request is one.

The application sees a request when its head is whole, so none of its limits can hold for what
comes before. A protocol class holds them: it counts the bytes that the parser swallows without
handing them on, and gives what is half sent a time.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

logger = logging.getLogger("runwright.http")

#: Of connections beyond the limits so many may ask for `ALIVE`, each for so many seconds.
OVERFLOW, OVERFLOW_SECONDS = 64, 2.0

#: What is answered beyond the limits too, so that nobody restarts a server that is only busy.
ALIVE = b"/health/live"

#: So many bytes are parsed before it is looked whether more may be.
PARSED = 2 * 1024

#: So many parts of a body may have less than so many bytes: each costs as much as a large one.
SMALL_PARTS, SMALL = 256, 16

#: What is still read and dropped of a client that was told why it is refused, in bytes.
DROPPED = 256 * 1024

#: So many requests may be sent ahead on one connection.
PIPELINED = 16

#: So many clients of one address may be slow to read, however large their answers are.
READERS = 8

#: How often it is logged that connections are refused, in seconds.
LOG_EVERY = 60.0

#: What the answer before the connection is closed may take to be read, in seconds.
LINGER = 2.0


class HeadTooLarge(Exception):
    """The head of a request, or what stands around the parts of its body, is over `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class TooSlow(Exception):
    """A request was begun and did not come within its time."""


class TooManyConnections(Exception):
    """There are as many connections as may be, from one address or in all."""


class Malformed(Exception):
    """What came is no HTTP."""


@dataclass(frozen=True)
class ConnectionLimits:
    """`head`: bytes of a head, also of the trailers. `head_seconds`: time for a head, and for each
    `body_rate` times as many bytes of a body. `total`, `per_address`: connections at once.
    `unread`: bytes that are sent to one address and not read.
    """

    head: int = 32 * 1024
    head_seconds: float = 30.0
    body_rate: int = 1024
    total: int = 4_000
    per_address: int = 1_000
    unread: int = 4 * 2**20


@dataclass
class Connections:
    """Those that are open."""

    limits: ConnectionLimits
    count: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    overflow: "OrderedDict[GuardedProtocol, None]" = field(default_factory=OrderedDict)
    unread: "defaultdict[str, OrderedDict[GuardedProtocol, None]]" = field(
        default_factory=lambda: defaultdict(OrderedDict)
    )
    logged: float = -LOG_EVERY
    refused: int = 0

    def admit(self, address: str) -> bool:
        """Count one more, or say that it is one too many."""
        if self.count < self.limits.total and self.by_address[address] < self.limits.per_address:
            self.count += 1
            self.by_address[address] += 1
            return True
        self.refused += 1
        if time.monotonic() - self.logged >= LOG_EVERY:
            logger.warning(
                "connections refused",
                extra={
                    "address": address,
                    "refused": self.refused,
                    "open": self.count,
                    "of_address": self.by_address[address],
                },
            )
            self.logged, self.refused = time.monotonic(), 0
        return False

    def note_unread(self, connection: "GuardedProtocol", address: str) -> None:
        """It has more to read than it takes at once; too much of one address is thrown away."""
        waiting = self.unread[address]
        waiting[connection] = None
        while len(waiting) > READERS and _unread(waiting) > self.limits.unread:
            longest, _ = waiting.popitem(last=False)
            longest.transport.abort()

    def note_read(self, connection: "GuardedProtocol", address: str) -> None:
        """It has read almost all that it was sent, or is closed."""
        if address in self.unread:
            self.unread[address].pop(connection, None)
            if not self.unread[address]:
                del self.unread[address]

    def leave(self, address: str) -> None:
        """One that was admitted is closed."""
        self.count -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


def _unread(waiting: "Iterable[GuardedProtocol]") -> int:
    return sum(one.transport.get_write_buffer_size() for one in waiting)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, with bounds.

    Its callbacks are those that httptools documents. `answer` encodes what is told ahead of a
    close.
    """

    def __init__(
        self, connections: Connections, answer: Callable[[Exception], bytes], **given: Any
    ) -> None:
        super().__init__(**given)
        self._open = connections
        self._limits = connections.limits
        self._answer = answer
        self._address = ""
        self._admitted = False
        self._reading = False  # a request has begun and is not whole
        self._in_body = False
        self._refused = False
        self._unseen = 0  # bytes that the parser did not hand on
        self._received = 0  # bytes of the body since the timer was set
        self._chunk = 0  # bytes of this part of the body
        self._small = 0  # parts of it
        self._dropped = 0  # bytes since it was refused
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come; beyond the limits it may ask for `ALIVE` only."""
        super().connection_made(transport)
        self._address = _network(self.client[0]) if self.client else ""
        self._admitted = self._open.admit(self._address)
        if not self._admitted:
            self._open.overflow[self] = None
            if len(self._open.overflow) > OVERFLOW:
                self._open.overflow.popitem(last=False)[0].transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._unwatch()
        if self._admitted:
            self._open.leave(self._address)
        self._open.overflow.pop(self, None)
        self._open.note_read(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come: parse them, unless the connection is being closed."""
        for start in range(0, len(data), PARSED):
            if self._refused:
                self._drop(len(data) - start)
                return
            part = data[start : start + PARSED]
            self._unseen += len(part)
            super().data_received(part)
            self._check()

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._dropped > DROPPED:
            self.transport.pause_reading()  # it has not stopped to read why

    def _check(self) -> None:
        if self._refused:
            return
        if self._unseen > self._limits.head:
            self._refuse(HeadTooLarge(self._limits.head))
        elif self._timer is None and (self._reading or self._is_idle()):
            self._watch()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._open.note_unread(self, self._address)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._open.note_read(self, self._address)

    # What the parser hands on.

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= PIPELINED:
            self._refused = True
            self.cycle.keep_alive = False  # of the last one: who asked sends the others again
        self._reading, self._in_body = True, False
        self._chunk = self._small = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; one of the trailers says nothing to us."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_body = True
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._unseen = 0
        if self._refused:
            return
        if head > self._limits.head:
            self._refuse(HeadTooLarge(self._limits.head))
        elif not self._admitted and self.url.partition(b"?")[0] != ALIVE:
            self._refuse(TooManyConnections())
        else:
            super().on_headers_complete()
            if not self._admitted:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body, around which there may be as much again, and the bound beside."""
        if self._refused:
            return
        self._unseen = max(0, self._unseen - 2 * len(body))
        self._received += len(body)
        self._chunk += len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """A part of a body is whole that was sent in chunks."""
        self._small += 0 < self._chunk < SMALL  # the last one is empty
        self._chunk = 0
        if self._small > SMALL_PARTS and not self._refused:
            self._refuse(HeadTooLarge(self._limits.head))

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._reading = False
        self._unseen = 0
        self._unwatch()
        if not self._refused:
            super().on_message_complete()

    # Time.

    def _watch(self) -> None:
        self._received = 0
        seconds = self._limits.head_seconds if self._admitted else OVERFLOW_SECONDS
        self._timer = self.loop.call_later(seconds, self._out_of_time)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_time(self) -> None:
        self._timer = None
        due = self._limits.head_seconds * self._limits.body_rate
        if not self._reading:
            self.transport.close()  # nothing came of it
        elif self._in_body and (self.flow.read_paused or self._received >= due):
            self._watch()  # it is we who do not read, or it comes fast enough
        else:
            self._refuse(TooSlow())

    # The end.

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: told as every other fault is."""
        if not self._refused:
            self._refuse(Malformed())

    def _refuse(self, error: Exception) -> None:
        """Tell why, unless an answer is on its way, and close; what comes meanwhile is dropped."""
        self._refused = True
        self._unwatch()
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete and not self._is_of(cycle):
            cycle.keep_alive = False  # what was asked before is answered first, and then it closes
            return
        if cycle is None or not self._is_of(cycle):
            self.transport.write(self._answer(error))
        elif not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if not cycle.response_started:
                self.transport.write(self._answer(error))
        # Closed at once, what is on its way here would make a reset of it that the client may see
        # before it has read why.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _is_of(self, cycle: RequestResponseCycle) -> bool:
        """Whether it answers the request whose body is coming, the only one that is asked."""
        return cycle.scope is self.scope and not self.pipeline


def _network(address: str) -> str:
    """The address, or what one household of IPv6 has of them."""
    if ":" not in address:
        return address
    return str(ip_network((address.partition("%")[0], 64), strict=False))


def guarded(
    limits: ConnectionLimits, answer: Callable[[Exception], bytes]
) -> type[asyncio.Protocol]:
    """What uvicorn makes for every connection."""
    connections = Connections(limits)

    def make(**given: Any) -> GuardedProtocol:
        return GuardedProtocol(connections, answer, **given)

    # uvicorn calls it and asks for nothing else of a class.
    return cast("type[asyncio.Protocol]", make)
