"""How much a server may send: what is beyond that is not read, nor kept."""

import codecs
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

#: The largest message of a server, in bytes: a line of a process, an answer or an event of an
#: address. It is more than is kept of any output, and read at once.
MAX_MESSAGE = 16 * 1024 * 1024

#: The most tools of a listing, and of a page of it.
MAX_TOOLS = 1_000

_TOO_LARGE = f"it sent a message of more than {MAX_MESSAGE // 1024 // 1024} MB"
_NO_TEXT = "it sent bytes that are no UTF-8"

_CODEC = "runwright_lines"

#: What is told why reading ends.
Break = Callable[[str], None]

_breaks: ContextVar[Break] = ContextVar("breaks")


class _Lines(codecs.IncrementalDecoder):
    """UTF-8 by whole lines, each of `MAX_MESSAGE` at most.

    The SDK would put a line together anew with each piece of it, however long it becomes.
    """

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._break = _breaks.get()
        self._begun: list[bytes] = []
        self._length = 0

    def decode(self, data: Any, final: bool = False) -> str:
        """The lines that end in `data`. Raises `ConnectionError` where they cannot be read on."""
        whole, end, rest = bytes(data).rpartition(b"\n")
        text = b"".join([*self._begun, whole, end]) if end else b""
        if end:
            self._begun, self._length = [], 0
        self._begun.append(rest)
        self._length += len(rest)
        if max(self._length, *map(len, text.split(b"\n"))) > MAX_MESSAGE:
            raise self._broken(_TOO_LARGE)
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise self._broken(_NO_TEXT) from None

    def _broken(self, reason: str) -> ConnectionError:
        self._begun, self._length = [], 0
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


def bounded_body(breaks: Break) -> "Callable[[httpx2.Response], Awaitable[None]]":
    """What bounds each answer of an address, once its headers are there."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            length = 0
            async for data in self._stream:
                length += len(data)
                if length > MAX_MESSAGE:
                    breaks(_TOO_LARGE)
                    raise httpx2.ReadError(_TOO_LARGE)
                yield data

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            # Nobody knows how large it is before it is unpacked.
            breaks("it sent a packed answer")
            raise httpx2.ReadError("packed")
        events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if not events:  # each of which has this bound
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = Bounded(response.stream)

    return bound
