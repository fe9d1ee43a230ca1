"""What one connection, one address and all together may take, before a request is one.

The application sees a request when its head is whole, so none of its limits can hold for what
comes before. A protocol class holds them: it counts the bytes that the parser swallows without
handing them on, and gives what is half sent a time.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.middleware.access import OWNER
from api.middleware.guards import BodyTooLarge
from api.middleware.places import ALIVE, PAUSE, ConnectionLimits, Connections, PacedFlow, network
from graph.queue.share import METER, Account, LoopShare

#: What a connection beyond the limits may take to ask for `ALIVE`, in seconds.
OVERFLOW_SECONDS = 2.0

#: So many bytes are parsed before it is looked whether more may be.
PARSED = 2 * 1024

#: So many lines may a head have, with the trailers: each costs as much as a long one.
LINES = 100

#: So many parts may a body have that comes in chunks, and one more for each `PART` bytes.
PARTS, PART = 256, 64

#: What is still read and dropped of a client that has its answer, in bytes.
DROPPED = 256 * 1024

#: So many requests may be sent ahead on one connection.
PIPELINED = 4

#: The host that a whole address names, as the target of a request.
_AUTHORITY = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)

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


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, with bounds.

    Its callbacks are those that httptools documents. `answer` encodes what is told ahead of a
    close.
    """

    def __init__(
        self,
        connections: Connections,
        answer: Callable[[Exception], bytes],
        share: LoopShare,
        **given: Any,
    ) -> None:
        # Before the parser is made, which looks what to call: by a method of ours for each of many
        # small parts they would cost fifty times what they cost whole.
        self._came: list[bytes] = []
        self.on_body = self._came.append  # type: ignore[assignment,method-assign]  # the same to it
        super().__init__(**given)
        self._open = connections
        self._limits = connections.limits
        self._answer = answer
        self._share = share
        self._account: Account | None = None
        self._address = ""
        self._admitted = False
        self._reading = False  # a request has begun and is not whole
        self._in_body = False
        self._refused = False
        self._unseen = 0  # bytes that the parser did not hand on
        self._received = 0  # bytes of the body since the timer was set
        self._lines = 0  # of the head
        self._body = 0  # bytes of it
        self._parts = 0  # of the body
        self._answering: RequestResponseCycle | None = None
        self._ahead: deque[int] = deque()  # bytes of each request in the pipeline
        self._dropped = 0  # bytes since there is an answer
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come; beyond the limits it may ask for `ALIVE` only."""
        super().connection_made(transport)
        self.flow = self._flow = PacedFlow(transport, self.loop)
        self._address = network(self.client[0]) if self.client else ""
        self._admitted = self._open.admit(transport, self._address)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self._unwatch()
        self._flow.stop()
        self._open.leave(self.transport, self._address, admitted=self._admitted)
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:
            # uvicorn tells the last one that was sent ahead, and not the one before it.
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Bytes have come: parse them, unless the connection is being closed."""
        began = self._share.clock()
        self._take(data)
        ended = self._share.clock()
        account = self._account_of()
        self._share.charge(account, ended - began, ended)
        if self._reading and not self._refused and self._share.wait_of(account) > 0:
            self._flow.hold(PAUSE)

    def _account_of(self) -> Account:
        """Of the owner who was found out last on the connection, else of who has no key there."""
        if owner := self.scope.get(OWNER) if self.scope else None:
            self._account = self._share.of(str(owner))  # a proxy brings one after the other
        elif self._account is None:
            self._account = self._share.of_anonymous(self._address)
        return self._account

    def _take(self, data: bytes) -> None:
        for start in range(0, len(data), PARSED):
            if self._refused:
                self._drop(len(data) - start)
                self._read_slowly()
                return
            part = data[start : start + PARSED]
            self._unseen += len(part)
            self._parse(part)
            self._hand_on()
            self._check()

    def _parse(self, part: bytes) -> None:
        """What uvicorn does with bytes, but that it logs each that is no HTTP, or asks to speak
        another protocol.
        """
        self._unset_keepalive_if_required()
        while part:
            try:
                self.parser.feed_data(part)
                return
            except HttpParserUpgrade as asked:
                part = part[asked.args[0] :]  # it continues in this one
            except HttpParserError:
                if not self._refused:
                    self._open.malformed.note(address=self._address)
                    self._refuse(Malformed())
                return

    def _read_slowly(self) -> None:
        """Whoever sends on when he was refused is read of now and then, with his neighbours."""
        sending_on = self._open.note_sending_on(self.transport, self._address)
        self._flow.hold(min(LINGER, PAUSE * sending_on))

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._dropped > DROPPED:
            self._refuse(BodyTooLarge(self._limits.body))
            self._flow.stop()  # it has not stopped to read why

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
        self._open.note_unread(self.transport, self._address)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._open.note_read(self.transport, self._address)

    # What the parser hands on.

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= PIPELINED:
            self._read_no_further()
        self._reading, self._in_body = True, False
        self._lines = self._body = self._parts = 0
        if not self._refused:
            self._dropped = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; one of the trailers says nothing to us."""
        self._lines += 1
        if self._lines > LINES:
            self._refuse(HeadTooLarge(self._limits.head))
        elif not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_body = True
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._unseen = 0
        if not self._is_idle():
            self._ahead.append(0)
            self._count_ahead(head)
        if self._refused:
            return
        if head > self._limits.head:
            self._refuse(HeadTooLarge(self._limits.head))
        elif not self._admitted and self.url.partition(b"?")[0] != ALIVE.encode():
            self._refuse(TooManyConnections())
        else:
            self._name_host()
            super().on_headers_complete()
            if not self._admitted:
                self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have the application answer, unless it is refused before it begins."""

        async def unless_refused(
            scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
        ) -> None:
            if not cycle.disconnected:
                await app(scope, receive, send)

        self._answering = cycle
        # One that was sent ahead is begun where the one before it has ended.
        token = METER.set(None)
        try:
            super()._start_asgi_task(cycle, unless_refused)
        finally:
            METER.reset(token)

    def _count_ahead(self, count: int) -> None:
        """So many bytes more have come of the last request in the pipeline."""
        self._ahead[-1] += count
        if sum(self._ahead) > self._limits.head + self._limits.body:
            self._read_no_further()

    def _name_host(self) -> None:
        """Where the target of a request names its host, the line that does so counts for nothing
        (RFC 9112, 3.2.2).
        """
        if not self.url.startswith(b"/") and (named := _AUTHORITY.match(self.url)):
            self.headers[:] = [
                (name, named[1] if name == b"host" else value) for name, value in self.headers
            ]

    def _hand_on(self) -> None:
        """Parts of a body, around which there may be as much again, and the bound beside."""
        if not self._came:
            return
        body, parts = b"".join(self._came), len(self._came)
        self._came.clear()
        if self._refused:
            return
        self._parts += parts
        self._unseen = max(0, self._unseen - 2 * len(body))
        self._received += len(body)
        self._body += len(body)
        if self.pipeline:
            self._count_ahead(len(body))
        elif self.cycle.response_complete:
            self._drop(len(body))
        if self._parts > PARTS + self._body // PART:
            self._refuse(HeadTooLarge(self._limits.head))
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._hand_on()
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

    def on_response_complete(self) -> None:
        """An answer is whole; where the next request will never be, there is no other."""
        if self._refused and self.pipeline and self.pipeline[-1][0].more_body:
            self.transport.close()
            return
        if self.pipeline:
            self._ahead.popleft()
        super().on_response_complete()

    def _read_no_further(self) -> None:
        """What was asked is answered, and then it closes; who asked more sends it again."""
        self._refused = True
        self._unwatch()
        self.cycle.keep_alive = False

    def _refuse(self, error: Exception) -> None:
        """Tell why, unless an answer is on its way, and close; what comes meanwhile is dropped."""
        if self._refused:
            return
        self._refused = True
        self._unwatch()
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete and not self._is_of(cycle):
            self._read_no_further()
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


def guarded(
    limits: ConnectionLimits,
    answer: Callable[[Exception], bytes],
    share: LoopShare | None = None,
) -> type[asyncio.Protocol]:
    """What uvicorn makes for every connection."""
    connections, shared = Connections(limits), share or LoopShare()

    def make(**given: Any) -> GuardedProtocol:
        return GuardedProtocol(connections, answer, shared, **given)

    # uvicorn calls it and asks for nothing else of a class.
    return cast("type[asyncio.Protocol]", make)
