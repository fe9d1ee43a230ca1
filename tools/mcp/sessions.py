"""All servers of the file: a session with each, and what of them is among the tools.

A session is opened once, kept, and opened anew when it is lost.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from graph.state.wording import printable
from tools.mcp.definitions import MAX_TOOLS, ServerDefinition, ServerFault, read_definitions
from tools.mcp.listing import kept_nowhere, output_of, relayed_progress
from tools.mcp.transport import PACE, Transport, following_changes, reap, words_of
from tools.receipts import keep_blobs
from tools.registry import ToolCall, ToolError
from tools.toolbox import Tool, Toolbox

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import Tool as Listed

logger = logging.getLogger("runwright.mcp")

#: How long a server may take until it is connected, and to list its tools, in seconds.
CONNECT, LIST = 20.0, 20.0

#: How long a call waits for a session that is being opened anew, in seconds: it is shorter than an
#: attempt, since what was never sent is not in doubt.
REOPENED = 5.0

#: The wait before a session is opened anew, at first and at most, in seconds, and how long one has
#: to last for the wait to be the first again.
FIRST_WAIT, LONGEST_WAIT, LASTING = 0.25, 60.0, 30.0

#: The most pages of a listing.
MAX_PAGES = 50

#: How long the end of a session may take: its process is killed before that, in seconds.
CLOSED = 8.0

#: Tools by their names, and what is wrong with others, a sentence each.
Taken = tuple[Mapping[str, Tool], Sequence[str]]

#: What is taken of the tools that a server lists.
Take = Callable[[Sequence["Listed"]], Taken]

State = Literal["connecting", "ready", "reconnecting", "missing"]


class ServerLost(Exception):
    """The session is over, or was never there; the message says why, in a few words."""


class ServerSession:
    """The session with a server, in a task of its own.

    `tools` are what `take` makes of those that it lists, in a thread, and `unfit` what it lists
    beside them that is no tool, each with why; `reason` says why it is not `ready`, `protocol`
    which revision was agreed on. `changed` is called when any of them is another.
    """

    def __init__(
        self, definition: ServerDefinition, take: Take, changed: Callable[[], None]
    ) -> None:
        self.definition = definition
        self.state: State = "connecting"
        self.reason: str | None = None
        self.protocol: str | None = None
        self.tools: Taken = ({}, [])
        self.unfit: Mapping[str, str] = {}
        self._take, self._tell = take, changed
        self._client: Client | None = None
        self._open = asyncio.Event()
        self._stop = asyncio.Event()
        self._dead = asyncio.Event()
        self._listing = asyncio.Event()
        self._connecting, self._was_ready = False, False
        self._task: asyncio.Task[None] | None = None

    def start(self, after: asyncio.Event | None = None) -> None:
        """Open it, in the background; `after` something has happened, where that is given."""
        self._task = asyncio.create_task(self._keep(after), name=f"mcp {self.definition.name}")

    def is_ending(self) -> bool:
        """Whether it is to be closed; any thread may ask."""
        return self._stop.is_set()

    async def close(self) -> None:
        """End it, and the process that was started for it."""
        self._stop.set()
        if self._task is None:
            return
        if self._connecting:  # where nothing looks whether it is to stop
            self._task.cancel()
        _, left = await asyncio.wait([self._task], timeout=CLOSED)
        if left:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSED)

    async def call(
        self, tool: str, arguments: Mapping[str, Any], asked: ToolCall | None = None
    ) -> Any:
        """What a tool of the server answers, for the one who `asked`.

        Raises `ToolError` for a failure that the server tells, `ConnectionRefusedError` where the
        call was not sent, and `ConnectionError` or `TimeoutError` where nobody knows.
        """
        if self._client is None and self.state == "reconnecting":
            with suppress(TimeoutError):
                async with asyncio.timeout(REOPENED):
                    await self._open.wait()
        if (client := self._client) is None:
            name, why = self.definition.name, self.reason or "it is being connected"
            raise ConnectionRefusedError(f"the MCP server {name!r} is not there: {why}")
        try:
            telling = relayed_progress(asked) if asked else None
            result = await client.call_tool(tool, dict(arguments), progress_callback=telling)
        except Exception as error:
            raise self._failure(error) from error
        return await output_of(result, partial(keep_blobs, asked) if asked else kept_nowhere)

    def _failure(self, error: Exception) -> Exception:
        """What became of a call, in the words that the runtime knows."""
        import httpx2
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, INTERNAL_ERROR, REQUEST_TIMEOUT

        name = self.definition.name
        if isinstance(error, MCPError):
            if error.code == CONNECTION_CLOSED:
                self._lose()
                return ConnectionError(f"the MCP server {name!r} was lost during the call")
            if error.code == REQUEST_TIMEOUT:
                return TimeoutError(f"the MCP server {name!r} did not answer in time")
            if error.message == "Session terminated":  # it knows nothing of us, so nothing was done
                self._lose()
                return ConnectionRefusedError(f"the MCP server {name!r} has ended the session")
            if error.code == INTERNAL_ERROR:  # of a proxy as well, which has handed the call on
                return ConnectionError(f"the MCP server {name!r} has failed: {error.message}")
            return ToolError(f"the MCP server {name!r} refuses: {error.message}")
        if isinstance(error, httpx2.HTTPError):
            self._lose()
            refused = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            kind = ConnectionRefusedError if refused else ConnectionError
            return kind(f"the MCP server {name!r} cannot be reached: {words_of(error)}")
        # The SDK's own, such as a question to the client.
        return ToolError(f"the MCP server {name!r} answers what cannot be used: {words_of(error)}")

    async def _keep(self, after: asyncio.Event | None) -> None:
        self._connecting = True
        if after is not None:
            await after.wait()
        await asyncio.to_thread(_load)
        self._connecting = False
        wait = FIRST_WAIT
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                await self._live()
                self.reason = None
            except Exception as error:
                self.reason = _reason(error)
            if self._stop.is_set():
                return
            # What it had is still planned with while it comes back; at the second failure no more.
            self._become("reconnecting" if self._was_ready else "missing")
            logger.warning("MCP server %s is not there: %s", self.definition.name, self.reason)
            wait = FIRST_WAIT if time.monotonic() - began > LASTING else wait
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stop.wait()
            wait = min(wait * 2, LONGEST_WAIT)

    def _become(self, state: State) -> None:
        self.state = state
        if state == "missing":
            self.tools = ({}, [])
            self._open.set()  # who waits for it waits for nothing
        self._tell()

    async def _live(self) -> None:
        """Open a session and keep it until it is lost. Raises what it was lost by."""
        self._dead.clear()
        self._listing.clear()
        self._was_ready, self._connecting = False, True
        transport = Transport(self.definition, self._lose)
        try:
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(CONNECT):
                        client = await stack.enter_async_context(self._made(transport))
                except TimeoutError:
                    raise ServerLost(f"it did not answer within {CONNECT:g} s") from None
                await self._list(client)
                self.unfit = transport.unfit
                self._client, self.protocol, self.reason = client, client.protocol_version, None
                self._open.set()
                self._was_ready, self._connecting = True, False
                self._become("ready")
                async with following_changes(client, self._listing.set):
                    await self._until_lost(client)
        except Exception as error:
            reason = transport.broken or _reason(error)
            raise ServerLost(f"{reason}{transport.said()}") from error
        finally:
            self._connecting = False
            self._lose()

    def _lose(self) -> None:
        """Nothing is sent any more: what is sent into a lost session would be in doubt."""
        self._client = None
        self._open.clear()
        self._dead.set()
        if self.state == "ready":
            self.state = "reconnecting"

    def _made(self, transport: Transport) -> "Client":
        from mcp import Client
        from mcp.types import Implementation, ToolListChangedNotification

        async def seen(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                self._listing.set()

        # Neither elicitation nor sampling is offered: a server that needs them is told so.
        info = Implementation(name="runwright", version=version("runwright"))
        return Client(transport.opened(), message_handler=seen, client_info=info)

    async def _until_lost(self, client: "Client") -> None:
        while True:
            events = (self._dead, self._listing, self._stop)
            waiting = [asyncio.create_task(event.wait()) for event in events]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
            if self._stop.is_set():
                return
            if self._dead.is_set():
                raise ServerLost("the connection was lost")
            await asyncio.sleep(PACE)
            self._listing.clear()
            await self._list(client)
            self._tell()

    async def _list(self, client: "Client") -> None:
        listed: list[Listed] = []
        cursor = None
        try:
            async with asyncio.timeout(LIST):
                for _ in range(MAX_PAGES):
                    page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                    listed += page.tools
                    cursor = page.next_cursor
                    if cursor is None or len(listed) > MAX_TOOLS:
                        break
        except TimeoutError:
            raise ServerLost(f"it did not list its tools within {LIST:g} s") from None
        # A thousand schemas take a second, or half a minute where they are made for it.
        self.tools = await asyncio.to_thread(self._take, listed[:MAX_TOOLS])


def _load() -> None:
    """Import what a session needs, which takes half a second."""
    for name in ("mcp.client.stdio", "mcp.client.streamable_http", "tools.mcp.listing"):
        import_module(name)


def _reason(error: BaseException) -> str:
    """Why a server is not there, in a few words."""
    while isinstance(error, BaseExceptionGroup):  # of the SDK's tasks
        error = error.exceptions[0]
    if isinstance(error, ServerLost):
        return str(error)
    if isinstance(error, FileNotFoundError | PermissionError):
        return f"its command cannot be started: {error.strerror}: {error.filename}"
    return words_of(error)


# All servers of the file.


class ServerHealth(TypedDict):
    """How a server does: `tools` are counted, `reason` says why it is not `ready`.

    `left_out`: what is wrong with tools of it, and with what the file says of them.
    """

    state: State
    reason: str | None
    protocol: str | None
    tools: int
    left_out: list[str]


class McpServers:
    """The servers of a file; their tools are put into a toolbox as they come and go."""

    def __init__(
        self, definitions: Sequence[ServerDefinition | ServerFault], toolbox: Toolbox
    ) -> None:
        self._toolbox = toolbox
        self._faults = {one.name: one.reason for one in definitions if isinstance(one, ServerFault)}
        self._left_out: dict[str, list[str]] = {}
        self._sessions = {
            one.name: ServerSession(
                one, partial(self._taken, one.name), partial(self._changed, one.name)
            )
            for one in definitions
            if isinstance(one, ServerDefinition)
        }

    def start(self, after: asyncio.Event | None = None) -> None:
        """Open every session, in the background; `after` something has happened."""
        for name, reason in self._faults.items():
            logger.warning("MCP server %s is left out: %s", name, reason)
            self._toolbox.put(name, {}, reason)
        for name, session in self._sessions.items():
            self._toolbox.expect(name)
            session.start(after)

    async def close(self) -> None:
        """End every session, all at once."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def health(self) -> Mapping[str, ServerHealth]:
        """How each server does, those included with which something is wrong in the file."""
        states: dict[str, ServerHealth] = {
            name: ServerHealth(
                state=session.state,
                reason=session.reason,
                protocol=session.protocol,
                tools=sum(tool.server == name for tool in self._toolbox.values()),
                left_out=self._left_out.get(name, []),
            )
            for name, session in self._sessions.items()
        }
        for name, reason in self._faults.items():
            states[name] = ServerHealth(
                state="missing", reason=reason, protocol=None, tools=0, left_out=[]
            )
        return states

    def _taken(self, name: str, listed: "Sequence[Listed]") -> Taken:
        from tools.mcp.listing import tools_of  # loaded by the sessions, beside the loop

        session = self._sessions[name]
        fixed = self._toolbox.fixed
        return tools_of(session.definition, listed, session.call, fixed, session.is_ending)

    def _changed(self, name: str) -> None:
        session = self._sessions[name]
        tools, faults = session.tools
        unfit = [f"{name}.{one[:100]} is left out: {why}" for one, why in session.unfit.items()]
        left_out = [*faults, *unfit] if session.state != "missing" else []
        before = {*self._left_out.get(name, [])}
        self._left_out[name] = [printable(fault) for fault in left_out]  # the server's names
        for fault in self._left_out[name]:
            if fault not in before:
                logger.warning("MCP server %s: %s", name, fault)
        absent = (session.reason or "it is not connected") if session.state == "missing" else None
        self._toolbox.put(name, tools, absent)


@asynccontextmanager
async def open_servers(
    path: Path, toolbox: Toolbox, after: asyncio.Event | None = None
) -> AsyncIterator[McpServers]:
    """The servers of a file, for as long as the context lasts; they connect beside what follows.

    `after` is what they wait for before they do.

    Raises `InvalidTool` for a file that has none.
    """
    servers = McpServers(read_definitions(path), toolbox)
    # A line that is no message is the SDK's to log, with a traceback each: a server could fill a
    # disk. What becomes of the session is told here.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    servers.start(after)
    reaping = asyncio.create_task(reap())
    try:
        yield servers
    finally:
        await servers.close()
        await asyncio.wait([reaping])
