"""Tools of one's own: one that fails, one that waits and one that blocks its thread.

RUNWRIGHT_TOOLS=examples.flaky:fail_times,examples.flaky:sleep runwright serve
"""

import asyncio
import time
from typing import Annotated

from pydantic import Field

from tools.receipts import namespace
from tools.registry import ToolCall, ToolError, tool

Seconds = Annotated[float, Field(ge=0, le=3_600)]


@tool(idempotent=True, phrases=["fail {times} times"])
async def fail_times(times: Annotated[int, Field(ge=0)], call: ToolCall) -> dict[str, int]:
    """Fail the first `times` attempts at this step, then return how many attempts it took."""
    place = namespace("attempts", call.owner)
    counted = await call.store.aget(place, call.step_key)
    attempts = 1 + (counted.value["attempts"] if counted else 0)
    await call.store.aput(place, call.step_key, {"attempts": attempts}, index=False)
    if attempts <= times:
        raise ToolError(f"attempt {attempts} fails, as asked", retryable=True)
    return {"attempts": attempts}


@tool(
    effects=False,
    idempotent=True,
    phrases=["sleep {seconds} seconds", "sleep for {seconds} seconds"],
)
async def sleep(seconds: Seconds) -> dict[str, float]:
    """Wait for a number of seconds, up to an hour, without holding anything up."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@tool(effects=False, phrases=["block {seconds} seconds", "block for {seconds} seconds"])
def block(seconds: Seconds) -> dict[str, float]:
    """Wait for a number of seconds, up to an hour, in a thread that nothing can stop."""
    time.sleep(seconds)
    return {"blocked": seconds}
