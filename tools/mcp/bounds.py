"""How much a server may send: what is beyond that is not read, nor kept."""

import codecs
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

#: The largest message of a server, in bytes: a line of a process, an answer or an event of an
#: address. It is more than is kept of any output, and read at once.
MAX_MESSAGE = 16 * 1024 * 1024

#: What is larger, in bytes, may have so many values at most: reading it takes as long as they are
#: many, and holds the event loop, from a thread too.
LARGE, MAX_VALUES = 256 * 1024, 200_000

#: The most parts of what a tool answers, each of which is looked at three times.
MAX_PARTS = 5_000

#: The most tools of a listing, and of a page of it.
MAX_TOOLS = 1_000

#: The most steps of the checks of all schemas of a listing: some seconds of a quiet machine.
MAX_STEPS = 500_000

_TOO_LARGE = f"it sent a message of more than {MAX_MESSAGE // 1024 // 1024} MB"
_NO_TEXT = "it sent bytes that are no UTF-8"
_TOO_MANY = f"it sent a message of more than {MAX_VALUES:,} values"

_CODEC = "runwright_lines"

#: The end of an event of an address, and of its only message where it sends no events.
_EVENT, _NEVER = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}"), re.compile(rb"(?!)")

#: What is told why reading ends.
Break = Callable[[str], None]

_breaks: ContextVar[Break] = ContextVar("breaks")


def fault_of(message: bytes | bytearray, *, event: bool = False) -> str | None:
    """Why a message, or an event with one, is not to be read; None where it may be."""
    if len(message) > MAX_MESSAGE:
        return _TOO_LARGE
    lines = message.count(b"\n") + message.count(b"\r")
    signs = lines + message.count(b",") + message.count(b'"')
    if len(message) <= LARGE or signs <= MAX_VALUES:
        return None
    return _TOO_MANY if lines > MAX_VALUES or _values(message, event) > MAX_VALUES else None


def _values(message: bytes | bytearray, event: bool) -> int:
    """How many texts, names and other values there are; what stands within a text is none."""
    if event:
        fields = (line.removeprefix(codecs.BOM_UTF8) for line in message.splitlines())
        message = b"\n".join(line for line in fields if line.startswith(b"data"))
    message = message.replace(b"\\\\", b"").replace(b'\\"', b"")
    texts = message.count(b'"') // 2
    if texts > MAX_VALUES:  # it would be cut into too many pieces
        return texts
    return texts + sum(between.count(b",") for between in message.split(b'"')[::2])


class _Lines(codecs.IncrementalDecoder):
    """UTF-8 by whole lines, each of which is looked at.

    The SDK would put a line together anew with each piece of it, however long it becomes.
    """

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._break = _breaks.get()
        self._read = bytearray()

    def decode(self, data: Any, final: bool = False) -> str:
        """The lines that end in `data`. Raises `ConnectionError` where they cannot be read on."""
        before = len(self._read)
        self._read += data
        end = self._read.rfind(b"\n", before) + 1
        whole = self._read[:end]
        del self._read[:end]
        if len(self._read) > MAX_MESSAGE:
            raise self._broken(_TOO_LARGE)
        if len(whole) > LARGE:
            for line in whole.split(b"\n"):
                if fault := fault_of(line):
                    raise self._broken(fault)
        try:
            return whole.decode()
        except UnicodeDecodeError:
            raise self._broken(_NO_TEXT) from None

    def _broken(self, reason: str) -> ConnectionError:
        self._read.clear()
        self._break(reason)
        return ConnectionError(reason)  # which the SDK takes for the end of the stream


def _codec(name: str) -> codecs.CodecInfo | None:
    utf8 = codecs.lookup("utf-8")
    if name != _CODEC:
        return None
    return codecs.CodecInfo(utf8.encode, utf8.decode, incrementaldecoder=_Lines, name=_CODEC)


codecs.register(_codec)


@contextmanager
def bounded_lines(breaks: Break) -> Iterator[str]:
    """The name of the encoding in which a process is read that is started within.

    The encoding is what the SDK lets be chosen of how it reads, and nothing else.
    """
    token = _breaks.set(breaks)
    try:
        yield _CODEC
    finally:
        _breaks.reset(token)


async def _whole(
    stream: AsyncIterable[bytes], event: bool, look: Callable[[bytearray, bool], bytes]
) -> AsyncIterator[bytes]:
    """What comes, by messages that have come to their end and were looked at."""
    read, end = bytearray(), _EVENT if event else _NEVER
    seen = 0  # how much of it has no end
    async for data in stream:
        read += data
        while found := end.search(read, max(0, seen - 3)):
            yield look(read[: found.end()], event)
            del read[: found.end()]
            seen = 0
        seen = len(read)
        if seen > MAX_MESSAGE:
            look(read, event)
    yield look(read, event)


def bounded_body(breaks: Break) -> "Callable[[httpx2.Response], Awaitable[None]]":
    """What bounds each answer of an address, once its headers are there."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream, event: bool) -> None:
            self._stream = stream
            self._event = event

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _whole(self._stream, self._event, look)

        async def aclose(self) -> None:
            await self._stream.aclose()

    def look(message: bytearray, event: bool) -> bytes:
        if fault := fault_of(message, event=event):
            breaks(fault)
            raise httpx2.ReadError(fault)
        return bytes(message)

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # Nobody knows how large it is before it is unpacked.
            breaks("it sent a packed answer")
            raise httpx2.ReadError("packed")
        kind = response.headers.get("content-type", "").lower()
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = Bounded(response.stream, kind.startswith("text/event-stream"))

    return bound
