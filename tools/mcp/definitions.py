"""What the operator's file says of MCP servers, and what every server is bound by.

The file says which there are, and what is decided about their tools. What one sends beyond the
bounds is not read, nor kept.
"""

import codecs
import json
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.registry import InvalidTool
from tools.toolbox import MAX_ATTEMPTS, MAX_TIMEOUT, InDoubt

if TYPE_CHECKING:
    import httpx2

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

#: What other clients call the transport that is read here.
_HTTP = frozenset({"http", "streamable-http", "streamable_http"})


class ToolOverride(BaseModel):
    """What the file says of one tool; it beats what the server says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effects: bool | None = None
    idempotent: bool | None = None
    in_doubt: InDoubt | None = None
    timeout: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT)
    attempts: int | None = Field(default=None, ge=1, le=MAX_ATTEMPTS)
    phrases: tuple[str, ...] = ()


class _Ours(BaseModel):
    """What stands under `runwright`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    take: tuple[str, ...] | None = None
    leave: tuple[str, ...] = ()
    tools: dict[str, ToolOverride] = {}
    annotations: Literal["trust", "ignore"] = "trust"
    owners: tuple[str, ...] | None = None


class _Entry(BaseModel):
    """One server as every client writes it; what only other clients read is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str | None = None
    command: str | None = Field(None, min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT)
    disabled: bool = False
    runwright: _Ours = _Ours()


@dataclass(frozen=True)
class ServerDefinition:
    """One server: a `command` to start, or the `url` where it answers.

    `env` and `headers` may hold secrets. `timeout`: of a call, in seconds. `take`: the only tools
    that are taken, `leave`: those that are not. `trusted`: its annotations count. `owners`: whose
    runs may call it; None is everybody's.
    """

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    take: frozenset[str] | None = None
    leave: frozenset[str] = frozenset()
    overrides: Mapping[str, ToolOverride] = field(default_factory=dict)
    trusted: bool = True
    owners: tuple[str, ...] | None = None

    def takes(self, tool: str) -> bool:
        """Whether a tool of the server is wanted."""
        return (self.take is None or tool in self.take) and tool not in self.leave


@dataclass(frozen=True)
class ServerFault:
    """Why one server of the file is left out, in one sentence."""

    name: str
    reason: str


class _Unusable(Exception):
    """An entry that names no server; the message says why."""


def read_definitions(
    path: Path, environment: Mapping[str, str] | None = None
) -> list[ServerDefinition | ServerFault]:
    """Every server of the file, in its order, or what is wrong with it.

    Raises `InvalidTool` for a file that has no servers at all.
    """
    environment = os.environ if environment is None else environment
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InvalidTool(f"{path} cannot be read: {reason}") from None
    except ValueError as error:
        raise InvalidTool(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidTool(f'{path} should hold {{"mcpServers": {{…}}}}')
    if "mcpServers" not in content:
        found = "`servers`; the name is `mcpServers`" if "servers" in content else "no `mcpServers`"
        raise InvalidTool(f"{path} has {found}")
    servers = content["mcpServers"]
    if not isinstance(servers, dict):
        raise InvalidTool(f"`mcpServers` of {path} should be an object with a name for each server")
    read: list[ServerDefinition | ServerFault] = []
    for name, entry in servers.items():
        try:
            if (definition := _definition(name, entry, environment)) is not None:
                read.append(definition)
        except _Unusable as reason:
            read.append(ServerFault(name, str(reason)))
    return read


def _definition(name: str, given: Any, environment: Mapping[str, str]) -> ServerDefinition | None:
    """None for one that is disabled. Raises `_Unusable`."""
    if not _NAME.fullmatch(name):
        raise _Unusable("its name should be at most 40 letters, digits, - and _")
    if isinstance(given, str):
        raise _Unusable('it is bare text, which starts nothing; write {"command": …} or {"url": …}')
    if not isinstance(given, dict):
        raise _Unusable('it should be an object: {"command": …} or {"url": …}')
    try:
        entry = _Entry.model_validate(given)
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False, include_input=False)[0]
        raise _Unusable(f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}") from None
    if entry.disabled:
        return None
    _check_transport(entry)
    ours = entry.runwright

    def filled(text: str, place: str) -> str:
        return _filled(text, place, environment)

    url = None if entry.url is None else filled(entry.url, "url")
    if url is not None and (
        urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc
    ):
        raise _Unusable("`url` should begin with http:// or https://")
    return ServerDefinition(
        name,
        command=None if entry.command is None else filled(entry.command, "command"),
        args=tuple(filled(text, f"args.{place}") for place, text in enumerate(entry.args)),
        env={key: filled(text, f"env.{key}") for key, text in entry.env.items()},
        cwd=None if entry.cwd is None else filled(entry.cwd, "cwd"),
        url=url,
        headers={key: filled(text, f"headers.{key}") for key, text in entry.headers.items()},
        timeout=entry.timeout,
        take=None if ours.take is None else frozenset(ours.take),
        leave=frozenset(ours.leave),
        overrides=ours.tools,
        trusted=ours.annotations == "trust",
        owners=ours.owners,
    )


def _check_transport(entry: _Entry) -> None:
    kind = (entry.type or ("http" if entry.url else "stdio")).lower()
    if kind == "sse":
        raise _Unusable('the transport `sse` is gone from MCP; ask for its "http" address')
    if kind not in _HTTP and kind != "stdio":
        raise _Unusable(f'`type` {entry.type!r} is not known; there are "stdio" and "http"')
    if entry.command is not None and entry.url is not None:
        raise _Unusable("it has both a `command` and a `url`; a server has one of them")
    if kind == "stdio" and entry.command is None:
        raise _Unusable("it has no `command` to start")
    if kind in _HTTP and entry.url is None:
        raise _Unusable("it has no `url` to reach it at")


def _filled(text: str, place: str, environment: Mapping[str, str]) -> str:
    """The text with its variables; the value of none is ever told."""

    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if set_to := environment.get(name):
            return set_to
        if default is None:
            raise _Unusable(f"`{place}` needs the variable {name}, which is not set")
        return default

    return _VARIABLE.sub(value, text)


# How much a server may send.


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
MAX_LISTING_STEPS = 500_000

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
