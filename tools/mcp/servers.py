"""All servers of the file: their sessions, and what of them is among the tools."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from graph.state.wording import printable
from tools.mcp.definitions import ServerDefinition, ServerFault, read_definitions
from tools.mcp.session import ServerSession, State, Taken
from tools.mcp.transport import reap
from tools.toolbox import Toolbox

if TYPE_CHECKING:
    from mcp.types import Tool as Listed

logger = logging.getLogger("runwright.mcp")


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
