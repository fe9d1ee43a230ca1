"""Tools for tests of a dying process, loaded by name as a user's own would be."""

import asyncio
import os
import signal
import time
from pathlib import Path

from tools.registry import ToolCall, tool


def _begun() -> None:
    """Leave a note for the test, which may get no answer from here any more."""
    (Path(os.environ["GATES"]) / "begun").touch()


@tool(in_doubt="retry", phrases=["die now"])
def die() -> None:
    """End the process in the middle of a step, as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)


@tool(in_doubt="retry", phrases=["hang for {seconds} seconds"])
def hang(seconds: float) -> str:
    """Block a thread, as a tool does that never checks the time."""
    _begun()
    time.sleep(seconds)
    return "woke up"


@tool(in_doubt="retry", phrases=["note {words}"])
async def note(words: str, call: ToolCall) -> str:
    """Append a line to the file that NOTES names: one line for every call that was made."""
    with Path(os.environ["NOTES"]).open("a") as notes:  # noqa: ASYNC230 - one short line
        notes.write(f"{call.step_key} {words}\n")
    return words


@tool(in_doubt="retry", phrases=["cling"])
async def cling() -> None:
    """Swallow every cancellation, as code does that catches too much."""
    _begun()
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue


@tool(in_doubt="retry", phrases=["freeze for {seconds} seconds"])
async def freeze(seconds: float) -> None:
    """Block the event loop, as a coroutine does that never gives way."""
    _begun()
    time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for
