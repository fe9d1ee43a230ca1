"""The server over standard input and output, for a client that has started this process."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from mcp.server import Server
from mcp.server.stdio import stdio_server

from api.mcp.calls import Caller
from api.mcp.server import Context, make_server
from api.mcp.tools import Deeds
from api.middleware.access import CLIENT
from graph.service import Runs
from graph.settings.keys import DEFAULT_OWNER


async def serve_runs(runs: Runs, owner: str, *, each_tool: bool) -> None:
    """Answer until the client closes the input; what it still waits for is cancelled then.

    `each_tool` as `make_server` has it.
    """

    def who_calls(context: Context) -> Caller:
        by = CLIENT if owner == DEFAULT_OWNER else owner
        return Caller(owner=owner, by=by, report=context.session.report_progress)

    deeds = Deeds(runs)
    try:
        await serve_streams(make_server(deeds, who_calls, each_tool=each_tool))
    finally:
        await deeds.close()


async def serve_streams(server: Server[Any]) -> None:
    """Let a server answer over the standard input and output of this process."""
    with _input() as file:
        lines: Any = _Lines(file)
        async with stdio_server(stdin=cast("Any", lines)) as (read, write):
            try:
                await server.run(read, write, server.create_initialization_options())
            finally:
                with suppress(OSError):  # what tools have printed; later it would be on the wire
                    sys.stdout.flush()


@contextmanager
def _input() -> Iterator[int]:
    """The standard input under another number; tools, and what they start, find it empty."""
    wire = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield wire
    finally:
        os.dup2(wire, 0)


class _Lines:
    """The lines of a file as they come, read by a thread that keeps nobody from ending.

    The SDK's own reader cannot be told to stop before the next line comes.
    """

    def __init__(self, file: int) -> None:
        self._file = os.fdopen(file, encoding="utf-8", errors="replace", closefd=False)
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(1)
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if (line := await self._lines.get()) is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        try:
            for line in self._file:
                self._hand_over(line)
        except (OSError, ValueError):
            pass  # as its end
        self._hand_over(None)

    def _hand_over(self, line: str | None) -> None:
        """Return when there is room for the next one."""
        putting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except RuntimeError:  # the loop is closed: nobody wants it
            putting.close()
