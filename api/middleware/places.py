"""Which connections are open, of which address, and how they are read.

Of those that are refused the log tells now and then.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network

from uvicorn.protocols.http.flow_control import FlowControl

logger = logging.getLogger("runwright.http")

#: What is answered beyond the limits too, so that nobody restarts a server that is only busy.
ALIVE = "/health/live"

#: Of connections beyond the limits so many may ask whether the server lives.
OVERFLOW = 64

#: So many clients of one address may be slow to read, however large their answers are.
READERS = 8

#: So many connections of one address may go on sending after they were refused.
SENDING_ON = 16

#: How often it is logged that connections, or what comes on them, are refused, in seconds.
LOG_EVERY = 60.0


@dataclass(frozen=True)
class ConnectionLimits:
    """`head`: bytes of a head, also of the trailers. `body`: bytes of a body. `head_seconds`: time
    for a head, and for each `body_rate` times as many bytes of a body. `total`, `per_address`:
    connections at once. `unread`: bytes that are sent to one address and not read.
    """

    head: int = 32 * 1024
    body: int = 64 * 1024
    head_seconds: float = 30.0
    body_rate: int = 1024
    total: int = 4_000
    per_address: int = 1_000
    unread: int = 4 * 2**20


@dataclass
class Refusals:
    """Those of one kind: a line in the log now and then, with how many there were since."""

    what: str
    count: int = 0
    logged: float = -LOG_EVERY

    def note(self, **fields: object) -> None:
        """There is one more."""
        self.count += 1
        if time.monotonic() - self.logged >= LOG_EVERY:
            logger.warning(self.what, extra={**fields, "refused": self.count})
            self.logged, self.count = time.monotonic(), 0


@dataclass
class Connections:
    """Those that are open."""

    limits: ConnectionLimits
    count: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    overflow: OrderedDict[asyncio.Transport, None] = field(default_factory=OrderedDict)
    unread: defaultdict[str, OrderedDict[asyncio.Transport, None]] = field(
        default_factory=lambda: defaultdict(OrderedDict)
    )
    sending_on: defaultdict[str, OrderedDict[asyncio.Transport, None]] = field(
        default_factory=lambda: defaultdict(OrderedDict)
    )  # after they were refused, by address
    refused: Refusals = field(default_factory=lambda: Refusals("connections refused"))
    malformed: Refusals = field(default_factory=lambda: Refusals("malformed requests refused"))

    def admit(self, connection: asyncio.Transport, address: str) -> bool:
        """Count one more, or say that it is one too many, and close the oldest of those."""
        if self.count < self.limits.total and self.by_address[address] < self.limits.per_address:
            self.count += 1
            self.by_address[address] += 1
            return True
        self.refused.note(address=address, open=self.count, of_address=self.by_address[address])
        self.overflow[connection] = None
        if len(self.overflow) > OVERFLOW:
            self.overflow.popitem(last=False)[0].abort()
        return False

    def note_unread(self, connection: asyncio.Transport, address: str) -> None:
        """It has more to read than it takes at once; too much of one address is thrown away."""
        waiting = self.unread[address]
        waiting[connection] = None
        while len(waiting) > READERS and _unread(waiting) > self.limits.unread:
            longest, _ = waiting.popitem(last=False)
            longest.abort()

    def note_read(self, connection: asyncio.Transport, address: str) -> None:
        """It has read almost all that it was sent, or is closed."""
        if address in self.unread:
            self.unread[address].pop(connection, None)
            if not self.unread[address]:
                del self.unread[address]

    def note_sending_on(self, connection: asyncio.Transport, address: str) -> int:
        """It goes on sending though it was refused; how many of its address do.

        The more there are, the less is read of each, and the later it is seen that a client has
        gone: the oldest of too many is closed.
        """
        sending = self.sending_on[address]
        sending[connection] = None
        while len(sending) > SENDING_ON:
            sending.popitem(last=False)[0].abort()
        return len(sending)

    def leave(self, connection: asyncio.Transport, address: str, *, admitted: bool) -> None:
        """One is closed that was admitted or not."""
        self.overflow.pop(connection, None)
        self.note_read(connection, address)
        if sending := self.sending_on.get(address):
            sending.pop(connection, None)
            if not sending:
                del self.sending_on[address]
        if admitted:
            self.count -= 1
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]


def _unread(waiting: Iterable[asyncio.Transport]) -> int:
    return sum(one.get_write_buffer_size() for one in waiting)


def network(address: str) -> str:
    """The address, or what one household of IPv6 has of them."""
    if ":" not in address:
        return address
    return str(ip_network((address.partition("%")[0], 64), strict=False))


# How a connection is read, more slowly where we say so.


#: How long nothing is read of a connection at a time, in seconds.
PAUSE = 0.02


class PacedFlow(FlowControl):
    """uvicorn's flow of a connection, of which nothing is read for a while where we say so."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self._asked = self._stopped = False  # by uvicorn, and by us for good
        self._held: asyncio.TimerHandle | None = None

    def pause_reading(self) -> None:
        """Nothing more is wanted."""
        self._asked = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """More is wanted."""
        self._asked = False
        self._go_on()

    def hold(self, seconds: float) -> None:
        """Read nothing for so long, whatever is wanted."""
        if self._held is None and not self._transport.is_closing():
            super().pause_reading()
            self._held = self._loop.call_later(seconds, self._release)

    def stop(self) -> None:
        """Read nothing any more."""
        self._stopped = True
        if not self._transport.is_closing():
            super().pause_reading()

    def _release(self) -> None:
        self._held = None
        self._go_on()

    def _go_on(self) -> None:
        stays = self._asked or self._stopped or self._held is not None
        if not stays and not self._transport.is_closing():
            super().resume_reading()
