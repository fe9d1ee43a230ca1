"""The official JavaScript client, driven call by call from a test."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

_SCRIPT = Path(__file__).with_name("client.mjs")

_PACKAGE = "@langchain/langgraph-sdk"


class JavaScriptError(Exception):
    """What the client raised."""


class JavaScriptClient:
    """One process of Node with a client of the server at `url`; of the `package`, if it is given.

    That one has another version of it under a name of its own.
    """

    def __init__(self, url: str, key: str = "", package: str = _PACKAGE) -> None:
        modules = node_modules(package)
        self._process = subprocess.Popen(
            ["node", str(_SCRIPT), (modules / package).as_uri(), url, key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, area: str, call: str, *given: Any) -> Any:
        """What a call answers; of a stream, all of its parts. Raises `JavaScriptError`."""
        answer = self.live(area, call, *given)
        return [*answer] if isinstance(answer, Iterator) else answer

    def live(self, area: str, call: str, *given: Any) -> Any:
        """The same; of a stream the parts as they come, if there is any."""
        assert self._process.stdin is not None
        asked = {"area": area, "call": call, "given": given}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told = self._told()
        return self._parts() if "streams" in told else told["answer"]

    def _parts(self) -> Iterator[dict[str, Any]]:
        while "part" in (told := self._told()):
            yield told["part"]

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise JavaScriptError(told["error"])
        return told

    def close(self) -> None:
        """End the process, whatever it is at."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


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
