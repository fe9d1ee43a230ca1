"""Which tools there are now: a fixed set, and beside it those of servers that come and go."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

from tools.registry import Tool


class ToolSnapshot(Mapping[str, Tool]):
    """The tools of one moment, which do not change; `version` differs where they do.

    `absent`: servers whose tools are not among them, each with the reason.
    """

    def __init__(self, tools: Mapping[str, Tool], absent: Mapping[str, str]) -> None:
        self._tools = dict(tools)
        self.absent = dict(absent)
        self._restricted = any(tool.owners is not None for tool in self._tools.values())
        self._seen: dict[frozenset[str], ToolSnapshot] = {}

    @cached_property
    def version(self) -> str:
        """What differs where the tools do."""
        return _version(self._tools)

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def of(self, owner: str | None) -> "ToolSnapshot":
        """The tools that runs of this owner may call; None may call all."""
        if owner is None or not self._restricted:
            return self
        tools = {
            name: tool
            for name, tool in self._tools.items()
            if tool.owners is None or owner in tool.owners
        }
        # As many as there are sets of servers, not as there are owners.
        names = frozenset(tools)
        if names not in self._seen:
            self._seen[names] = ToolSnapshot(tools, self.absent)
        return self._seen[names]


class Toolbox(Mapping[str, Tool]):
    """The tools as they are now: what is read of it is read of its `snapshot`."""

    def __init__(self, fixed: Mapping[str, Tool]) -> None:
        self._fixed = dict(fixed)
        self._served: dict[str, Mapping[str, Tool]] = {}
        self._awaited: set[str] = set()
        self.arrived = asyncio.Event()
        self.arrived.set()
        self.snapshot = ToolSnapshot(self._fixed, {})

    def __getitem__(self, name: str) -> Tool:
        return self.snapshot[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot)

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def fixed(self) -> Mapping[str, Tool]:
        """The tools that are always there."""
        return self._fixed

    def expect(self, server: str) -> None:
        """The tools of a server are to come soon."""
        self._awaited.add(server)
        self.arrived.clear()
        self._put(server, {}, "it is being connected")

    def put(self, server: str, tools: Mapping[str, Tool], absent: str | None = None) -> None:
        """These are the tools of a server from now on; `absent` says why there are none."""
        self._put(server, tools, absent)
        self._awaited.discard(server)
        if not self._awaited:
            self.arrived.set()

    def _put(self, server: str, tools: Mapping[str, Tool], absent: str | None) -> None:
        self._served[server] = tools
        reasons = dict(self.snapshot.absent)
        reasons.pop(server, None)
        if absent is not None:
            reasons[server] = absent
        every = dict(self._fixed)
        for served in self._served.values():
            every |= served
        self.snapshot = ToolSnapshot(every, reasons)

    @property
    def complete(self) -> bool:
        """Whether none are to come any more."""
        return self.arrived.is_set()


def snapshot(tools: Mapping[str, Tool], owner: str | None = None) -> Mapping[str, Tool]:
    """The tools of this moment for runs of an owner; None is anybody."""
    if isinstance(tools, Toolbox):
        tools = tools.snapshot
    return tools.of(owner) if isinstance(tools, ToolSnapshot) else tools


def version(tools: Mapping[str, Tool]) -> str:
    """What differs where the tools do; a plain mapping never changes."""
    now = snapshot(tools)
    return now.version if isinstance(now, ToolSnapshot) else ""


def to_come(tools: Mapping[str, Tool]) -> bool:
    """Whether there are tools of servers to come, which are being connected for the first time."""
    return isinstance(tools, Toolbox) and not tools.complete


async def arrived(tools: Mapping[str, Tool]) -> None:
    """Wait for the tools that are to come."""
    if isinstance(tools, Toolbox):
        await tools.arrived.wait()


def absence(tools: Mapping[str, Tool], name: str) -> str | None:
    """Why a tool is not there that a server has which is away, or None."""
    now = snapshot(tools)
    if not isinstance(now, ToolSnapshot) or name in now:
        return None
    server = name.partition(".")[0]
    reason = now.absent.get(server)
    return None if reason is None else f"the MCP server {server!r} is not there: {reason}"


def _version(tools: Mapping[str, Tool]) -> str:
    shown = [[name, definition_of(tool), tool.phrases, tool.owners] for name, tool in tools.items()]
    return _hash(shown, 16)


#: What a definition is made of, in its order.
_PARTS = ("description", "input_schema", "effects", "idempotent")


def definition_of(tool: Tool) -> str:
    """Hashes of what a server says of its tool; empty for one of this program."""
    if tool.server is None:
        return ""  # it does not change while the program runs
    said = (tool.description, tool.json_schema, tool.effects, tool.idempotent)
    return "-".join(_hash(part, 8) for part in said)


def changes(before: str, now: str) -> list[str]:
    """In what two definitions of a tool differ."""
    pairs = zip(_PARTS, before.split("-"), now.split("-"), strict=False)
    return [part for part, then, since in pairs if then != since]


def _hash(part: Any, length: int) -> str:
    return sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:length]
