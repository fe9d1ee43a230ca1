"""The official JavaScript client, driven call by call from a test."""

import atexit
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

_SCRIPT = Path(__file__).with_name("client.mjs")

_PACKAGE = "@langchain/langgraph-sdk"


class JavaScriptError(Exception):
    """What the client raised."""


class _Node:
    """One process of Node with a client of the `package`; `said` is one of its lines, read."""

    def __init__(self, package: str) -> None:
        modules = node_modules(package)
        self.package = package
        self._process = subprocess.Popen(
            ["node", str(_SCRIPT), (modules / package).as_uri()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, told: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()

    def said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def end(self) -> None:
        """Whatever it is at."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


#: What has nothing to do until there is another client: a start takes half a second of work.
_idle: list[_Node] = []


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


class JavaScriptClient:
    """A client of the server at `url`, in a process of Node that it has alone; of the `package`.

    That one has another version of it under a name of its own.
    """

    def __init__(self, url: str, key: str = "", package: str = _PACKAGE) -> None:
        idle = next((one for one in _idle if one.package == package), None)
        if idle is not None:
            _idle.remove(idle)
        self._node = idle or _Node(package)
        self._answers = 0  # that are not told to their end
        self._node.say({"url": url, "key": key})

    def call(self, area: str, call: str, *given: Any) -> Any:
        """What a call answers; of a stream, all of its parts. Raises `JavaScriptError`."""
        answer = self.live(area, call, *given)
        return [*answer] if isinstance(answer, Iterator) else answer

    def live(self, area: str, call: str, *given: Any) -> Any:
        """The same; of a stream the parts as they come, if there is any."""
        self._answers += 1
        self._node.say({"area": area, "call": call, "given": given})
        told = self._told()
        if "streams" in told:
            return self._parts()
        self._answers -= 1
        return told["answer"]

    def _parts(self) -> Iterator[dict[str, Any]]:
        while "part" in (told := self._told()):
            yield told["part"]
        self._answers -= 1

    def _told(self) -> dict[str, Any]:
        told = self._node.said()
        if "error" in told:
            self._answers -= 1
            raise JavaScriptError(told["error"])
        return told

    def close(self) -> None:
        """End the process where it is still told something, and else leave it to the next one."""
        if self._answers:
            self._node.end()
        else:
            _idle.append(self._node)


def node_modules(package: str = _PACKAGE) -> Path:
    """Where the client is; without it the test is skipped, in CI it fails."""
    modules = Path(os.environ.get("MCP_NODE_MODULES", ""))
    if which("node") and (modules / package).is_dir():
        return modules
    if os.environ.get("CI"):
        raise AssertionError(f"{package} is not at MCP_NODE_MODULES, or there is no node")
    pytest.skip(f"needs Node, and {package} at MCP_NODE_MODULES")


@contextmanager
def javascript(url: str, key: str = "", package: str = _PACKAGE) -> Iterator[JavaScriptClient]:
    """A client that is closed at the end."""
    client = JavaScriptClient(url, key, package)
    try:
        yield client
    finally:
        client.close()
