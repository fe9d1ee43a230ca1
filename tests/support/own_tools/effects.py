"""Tools with an effect that can be counted: a line in the file that NOTES names, for each call."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from langgraph.store.base import PutOp

from tools.receipts import namespace, once
from tools.registry import ToolCall, tool


@tool(phrases=["pay {words}"])
def pay(words: str, call: ToolCall) -> str:
    """Write a line, PAUSE seconds after the call was begun and PAUSE seconds before it returns.

    With HOLD it waits before it acts until there is a file `release`.
    """
    notes = Path(os.environ["NOTES"])
    with (notes.parent / "begun").open("a") as begun:
        begun.write(f"{call.step_key}\n")
    while os.environ.get("HOLD") and not (notes.parent / "release").exists():
        time.sleep(0.02)
    time.sleep(float(os.environ.get("PAUSE", "0")))
    with notes.open("a") as lines:
        lines.write(f"{call.step_key} {words}\n")
    time.sleep(float(os.environ.get("PAUSE", "0")))
    return words


@tool(idempotent=True, phrases=["send {words}"])
async def send(words: str, call: ToolCall) -> Any:
    """Store a line with its receipt: it is there once, whatever dies."""

    async def effect() -> tuple[str, list[PutOp]]:
        place = namespace("sent", call.owner)
        return words, [PutOp(place, call.step_key, {"words": words}, index=False)]

    return await once(call, effect)


@tool(idempotent=True, phrases=["lay {words}"])
async def lay(words: str, call: ToolCall) -> Any:
    """As `send`, after PAUSE seconds, so that there is time to die in it."""
    await asyncio.sleep(float(os.environ.get("PAUSE", "0")))

    async def effect() -> tuple[str, list[PutOp]]:
        place = namespace("laid", call.owner)
        return words, [PutOp(place, call.step_key, {"words": words}, index=False)]

    return await once(call, effect)
