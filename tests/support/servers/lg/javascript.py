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
    """One process of Node with a client of the server at `url`."""

    def __init__(self, url: str, key: str = "") -> None:
        modules = node_modules()
        self._process = subprocess.Popen(
            ["node", str(_SCRIPT), modules.as_uri(), url, key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, area: str, call: str, *given: Any) -> Any:
        """What a call answers; of a stream, all of its parts. Raises `JavaScriptError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"area": area, "call": call, "given": given}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise JavaScriptError(told["error"])
        return told["answer"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def node_modules() -> Path:
    """Where the client is; without it the test is skipped, in CI it fails."""
    modules = Path(os.environ.get("MCP_NODE_MODULES", ""))
    if which("node") and (modules / _PACKAGE).is_dir():
        return modules
    if os.environ.get("CI"):
        raise AssertionError(f"{_PACKAGE} is not at MCP_NODE_MODULES, or there is no node")
    pytest.skip(f"needs Node, and {_PACKAGE} at MCP_NODE_MODULES")


@contextmanager
def javascript(url: str, key: str = "") -> Iterator[JavaScriptClient]:
    """A client that is closed at the end."""
    client = JavaScriptClient(url, key)
    try:
        yield client
    finally:
        client.close()
