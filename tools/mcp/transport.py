"""How a server is reached: a process that is started, or an address.

A process carries who started it, so that none is lost: most end when their input does, which is
when we are killed, and the next start ends those that cling on. That needs Linux, where the
environment of a process can be read.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import ValidationError

from graph.state.wording import printable
from tools.mcp.definitions import (
    MAX_MESSAGE,
    MAX_PARTS,
    MAX_TOOLS,
    ServerDefinition,
    bounded_body,
    bounded_lines,
)

if TYPE_CHECKING:
    import anyio
    from mcp import Client


#: How much of what a process says beside its answers is kept, in bytes.
_KEPT = 2_000

#: How long an address may take to be connected, in seconds.
_REACHED = 15.0


class Transport:
    """The streams of one session with a server; `lost` is called when they end.

    `unfit`: of the last list of tools, those that are none, each with the reason. `broken`: why we
    have ended the session ourselves, where we have.
    """

    def __init__(self, definition: ServerDefinition, lost: Callable[[], None]) -> None:
        self._definition = definition
        self._lost = lost
        self._tail: _Tail | None = None
        self._passing: anyio.CancelScope | None = None
        self.unfit: dict[str, str] = {}
        self.broken: str | None = None

    def said(self) -> str:
        """The last line that the process has said beside its answers, as the end of a sentence."""
        lines = self._tail.lines() if self._tail else []
        return f"; it said: {lines[-1]}" if lines else ""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Any]:
        """The pair of streams; entered once.

        What comes in is looked at on its way: its end is the end of a process, of which nothing
        else tells, and of a list of tools the SDK would refuse all for one.
        """
        import anyio

        streams = self._process() if self._definition.command is not None else self._address()
        async with streams as (messages, answers):
            sender, receiver = anyio.create_memory_object_stream[Any](0)

            async def pass_on() -> None:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    async with sender:
                        with anyio.CancelScope() as self._passing:
                            if self.broken is None:
                                async for message in messages:
                                    self._look(message)
                                    await sender.send(message)
                self._lost()

            async with receiver, anyio.create_task_group() as passing:
                passing.start_soon(pass_on)
                try:
                    yield receiver, answers
                finally:
                    passing.cancel_scope.cancel()

    def _break(self, reason: str) -> None:
        """End the session, for what the server has sent; the SDK would read on."""
        self.broken = self.broken or reason
        if self._passing is not None:
            self._passing.cancel()

    def _look(self, message: Any) -> None:
        """Take out of a list of tools what is no tool, and end it at what has too many parts.

        The schemas of answers are left out too: the SDK would check by them as long as it takes.
        """
        result = getattr(getattr(message, "message", None), "result", None)
        if not isinstance(result, dict):
            return
        if isinstance(parts := result.get("content"), list) and len(parts) > MAX_PARTS:
            self._break(f"it sent an answer of more than {MAX_PARTS:,} parts")
        if isinstance(result.get("tools"), list):
            self.unfit.clear()
            result["tools"] = [one for one in result["tools"][:MAX_TOOLS] if self._fits(one)]
            for one in result["tools"]:
                one.pop("outputSchema", None)

    def _fits(self, tool: Any) -> bool:
        from mcp.types import Tool

        try:
            listed = Tool.model_validate(tool, by_name=False)
            if listed.input_schema.get("type") == "object":
                return True
            why = "the schema of its input describes no object"
        except ValidationError as invalid:
            fault = invalid.errors(include_url=False, include_input=False)[0]
            why = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        name = tool.get("name") if isinstance(tool, dict) else None
        self.unfit[name if isinstance(name, str) else "(a tool without a name)"] = why
        return False

    @asynccontextmanager
    async def _address(self) -> AsyncIterator[Any]:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        assert self._definition.url is not None
        # Without a limit for an answer: the attempt has one.
        timeout = httpx2.Timeout(_REACHED, read=None)
        headers = dict(self._definition.headers)
        async with (
            httpx2.AsyncClient(
                headers={"Accept-Encoding": "identity"} | headers,
                timeout=timeout,
                event_hooks={"response": [bounded_body(self._break)]},
            ) as http,
            streamable_http_client(
                self._definition.url, http_client=http, max_sse_event_size=MAX_MESSAGE
            ) as streams,
        ):
            yield streams

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        assert self._definition.command is not None
        # Its environment is the SDK's few variables and the file's: none of our keys.
        command, args = marked(self._definition.command, self._definition.args)
        parameters = StdioServerParameters(
            command=command,
            args=args,
            env=dict(self._definition.env),
            cwd=self._definition.cwd,
        )
        self._tail = _Tail()
        with self._tail as errors, bounded_lines(self._break) as parameters.encoding:
            async with stdio_client(parameters, errlog=errors) as streams:
                yield streams


class _Tail:
    """The end of what a process writes to its standard error, which is read all the time."""

    def __init__(self) -> None:
        self._kept = b""

    def lines(self) -> list[str]:
        """The last lines, of printable text."""
        text = self._kept.decode("utf-8", "replace")
        printable = ("".join(filter(str.isprintable, line)).strip() for line in text.splitlines())
        return [line[:300] for line in printable if line]

    def __enter__(self) -> TextIO:
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._file = os.fdopen(writing, "w")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)
        return self._file

    def __exit__(self, *_: object) -> None:
        self._read()
        self._loop.remove_reader(self._reading)
        self._file.close()
        os.close(self._reading)

    def _read(self) -> None:
        # At most a pipe's worth, so that a flood does not keep the loop.
        with suppress(BlockingIOError):
            data = os.read(self._reading, 65_536)
            self._kept = (self._kept + data)[-_KEPT:]


# Changes of the list of tools, which servers tell of.


#: The least time between two listings, in seconds, whatever the server tells of changes.
PACE = 1.0


#: The first revision without a handshake, where changes are told to who subscribes.
_WITHOUT_HANDSHAKE = "2026-07-28"


@asynccontextmanager
async def following_changes(client: "Client", changed: Callable[[], None]) -> AsyncIterator[None]:
    """Be told of changes of the list, in the revisions where one has to ask for that."""
    tools = client.server_capabilities.tools
    if client.protocol_version < _WITHOUT_HANDSHAKE or not (tools and tools.list_changed):
        yield
        return
    following = asyncio.create_task(_follow(client, changed))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait([following])


async def _follow(client: "Client", changed: Callable[[], None]) -> None:
    while True:
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    changed()
        except Exception as error:
            logger.debug("no changes are told: %s", words_of(error))
            return
        await asyncio.sleep(PACE)
        changed()  # what was changed while nobody listened


def words_of(error: BaseException) -> str:
    """What an exception says, in one short line."""
    said = printable(" ".join(str(error).split()))
    return said[:300] if said else type(error).__name__


# Processes that carry who started them.


logger = logging.getLogger("runwright.mcp")

_MARK = "RUNWRIGHT_STARTED"

#: The shell notes its own number, which is that of the server once it has become it, and of the
#: session that all have which the server starts, unless they leave it on purpose.
_SCRIPT = f'export {_MARK}="$1:$$"; shift; exec "$@"'

_PROC = Path("/proc")


def marked(command: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its arguments, so that the process carries who has started it."""
    if sys.platform != "linux":
        return command, [*args]
    me = f"{os.getpid()}:{_started(os.getpid())}"
    return "/bin/sh", ["-c", _SCRIPT, "sh", me, command, *args]


async def reap() -> None:
    """End what servers have left whose starter is gone, however that ended."""
    if sys.platform == "linux":
        for pid, server in await asyncio.to_thread(lambda: [*_orphans()]):
            logger.warning("process %d is left of an earlier MCP server (%d): ended", pid, server)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _orphans() -> Iterator[tuple[int, int]]:
    """The processes, each with the server that it belongs to."""
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or not (mark := _mark(folder)):
            continue
        starter, since, server = mark
        if _started(starter) != since and _stat(int(folder.name), 3) == server:
            yield int(folder.name), int(server)


def _mark(folder: Path) -> tuple[int, str, str] | None:
    try:
        environment = (folder / "environ").read_bytes()
    except OSError:  # gone, or another user's
        return None
    for entry in environment.split(b"\0"):
        name, _, value = entry.decode("utf-8", "replace").partition("=")
        parts = value.split(":")
        if name == _MARK and len(parts) == 3 and all(part.isdecimal() for part in parts):
            return int(parts[0]), parts[1], parts[2]
    return None


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the boot; None where there is none."""
    return _stat(pid, 19)


def _stat(pid: int, place: int) -> str | None:
    """A field of `/proc/<pid>/stat` (proc(5)), counted from the state after the name."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[place]
