"""How a server is reached: a process that is started, or an address."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import ValidationError

from tools.mcp.bounds import MAX_MESSAGE, MAX_PARTS, MAX_TOOLS, bounded_body, bounded_lines
from tools.mcp.definitions import ServerDefinition
from tools.mcp.orphans import marked

if TYPE_CHECKING:
    import anyio

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
