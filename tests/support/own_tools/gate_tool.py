"""Tools that return when a test says so, whatever process they are called in."""

import asyncio
import os
import time
from pathlib import Path

from tools.registry import tool

#: How `RUNWRIGHT_TOOLS` names them.
GATE = "tests.support.own_tools.gate_tool:pass_gate,tests.support.own_tools.gate_tool:hold_gate"


@tool("gate", effects=False, idempotent=True, phrases=["pass gate {name}"])
async def pass_gate(name: str) -> str:
    """Wait until the gate is open."""
    while not _is_open(name):  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(0.01)
    return name


@tool("hold", effects=False, phrases=["hold gate {name}"])
def hold_gate(name: str) -> str:
    """Hold a thread until the gate is open."""
    while not _is_open(name):
        time.sleep(0.01)
    return name


def open_gate(folder: Path, name: str) -> None:
    """Let every call return that waits at the gate, or comes to it later."""
    (folder / f"{name}.gate").touch()


def _is_open(name: str) -> bool:
    return (Path(os.environ["GATES"]) / f"{name}.gate").exists()
