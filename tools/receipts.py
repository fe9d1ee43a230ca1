"""Effects that happen once: each is stored together with the receipt of the step that asked."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

from langgraph.store.base import PutOp

from tools.registry import ToolCall

T = TypeVar("T")
Writes = Sequence[PutOp]
Effect = Callable[[], Awaitable[tuple[T, Writes]]]

# Weak, so that a lock goes with its last holder and owners leave nothing behind; by loop, since an
# asyncio lock serves one loop only and a process may run several (notebooks, tests).
_locks: WeakValueDictionary[tuple[int, str, str], asyncio.Lock] = WeakValueDictionary()


def namespace(kind: str, owner: str) -> tuple[str, str]:
    """Where the store keeps an owner's things of one kind, whatever the owner is called."""
    # Stores join the parts with dots and refuse empty ones; a bare % is never a quoted name.
    label = quote(owner, safe="", errors="surrogatepass").replace(".", "%2E") or "%"
    return (kind, label)


async def once(call: ToolCall, effect: Effect[T], *, among: str = "") -> T:
    """The output of `effect`, whose writes are stored at most once for this step.

    `effect` reads what it needs and returns its output and the writes. No other effect of the owner
    under the same name `among` (default: one name for all) runs in between. The receipt goes in
    the same batch as the writes; a step that has one gets its stored output, with no second effect.
    A cancellation during the write is raised when the write has ended.
    """
    receipts = namespace("receipts", call.owner)
    async with _lock(call.owner, among):
        receipt = await call.store.aget(receipts, call.step_key)
        if receipt is not None:
            return cast("T", copy.deepcopy(receipt.value["output"]))
        output, writes = await effect()
        stored = {"output": copy.deepcopy(output)}
        await _finish(
            call.store.abatch([*writes, PutOp(receipts, call.step_key, stored, index=False)])
        )
        return output


def _lock(owner: str, among: str) -> asyncio.Lock:
    return _locks.setdefault((id(asyncio.get_running_loop()), owner, among), asyncio.Lock())


async def _finish(write: Awaitable[Any]) -> None:
    """Wait for the write to end, cancelled or not, so that the lock outlives it."""
    task = asyncio.ensure_future(write)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # retrieved; the cancellation is what the caller asked for
        raise cancelled
    await task
