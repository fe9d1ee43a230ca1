"""The operator's file of MCP servers: which there are, and what is decided about their tools."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.registry import MAX_ATTEMPTS, MAX_TIMEOUT, InDoubt, InvalidTool

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
