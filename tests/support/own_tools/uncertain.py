"""Tools of whose calls nobody knows whether they acted, loaded by name as a user's own would be."""

import asyncio

from tools.registry import ToolError, tool


@tool("send", timeout=0.05, phrases=["courier {to}"])
async def send(to: str) -> str:
    """Send something, and never come back."""
    await asyncio.Event().wait()
    return to


@tool("refuse", effects=False)
async def refuse(what: str) -> str:
    """Fail for good, before anything is done."""
    raise ToolError(f"{what}: no", retryable=False)
