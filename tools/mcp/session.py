"""One session with one server: opened once, kept, and opened anew when it is lost."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from graph.state.wording import printable
from tools.mcp.bounds import MAX_TOOLS
from tools.mcp.definitions import ServerDefinition
from tools.mcp.listing import output_of
from tools.mcp.transport import Transport
from tools.receipts import Blob, keep_blobs
from tools.registry import Tool, ToolCall, ToolError, ToolProgress

if TYPE_CHECKING:
    from mcp import Client
    from mcp.shared.dispatcher import ProgressFnT
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

#: The least time between two listings, in seconds, whatever the server tells of changes.
PACE = 1.0

#: The most pages of a listing.
MAX_PAGES = 50

#: How long the end of a session may take: its process is killed before that, in seconds.
CLOSED = 8.0

#: Tools by their names, and what is wrong with others, a sentence each.
Taken = tuple[Mapping[str, Tool], Sequence[str]]

#: What is taken of the tools that a server lists.
Take = Callable[[Sequence["Listed"]], Taken]

State = Literal["connecting", "ready", "reconnecting", "missing"]

#: The first revision without a handshake, where changes are told to who subscribes.
_WITHOUT_HANDSHAKE = "2026-07-28"


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
            telling = _telling(asked) if asked else None
            result = await client.call_tool(tool, dict(arguments), progress_callback=telling)
        except Exception as error:
            raise self._failure(error) from error
        return await output_of(result, partial(keep_blobs, asked) if asked else _kept_nowhere)

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
            return kind(f"the MCP server {name!r} cannot be reached: {_words(error)}")
        # The SDK's own, such as a question to the client.
        return ToolError(f"the MCP server {name!r} answers what cannot be used: {_words(error)}")

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
                async with _following(client, self._listing.set):
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


@asynccontextmanager
async def _following(client: "Client", changed: Callable[[], None]) -> AsyncIterator[None]:
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
            logger.debug("no changes are told: %s", _words(error))
            return
        await asyncio.sleep(PACE)
        changed()  # what was changed while nobody listened


def _telling(asked: ToolCall) -> "ProgressFnT":
    """Hands on how far the server says that it is; the time of the attempt stays what it is."""

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        asked.progress(ToolProgress(progress, total, message))

    return tell


async def _kept_nowhere(blobs: Sequence[Blob]) -> set[str]:
    return set()


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
    return _words(error)


def _words(error: BaseException) -> str:
    said = printable(" ".join(str(error).split()))
    return said[:300] if said else type(error).__name__
