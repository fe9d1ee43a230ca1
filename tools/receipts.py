"""Effects that happen once: each is stored together with the receipt of the step that asked.

A call that can have no such receipt leaves another one: that it was begun. Pictures, sounds and
other bytes that tools return are kept in the same place, beside the record, which has their hash:
all of one step are one entry of the store under the key of the step, so that they go with the run.
"""

import asyncio
import copy
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

from langgraph.store.base import BaseStore, PutOp

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


class Outdated(Exception):
    """What an effect has read was changed by another process meanwhile; nothing was written.

    Raised by stores that processes share, of a batch with a receipt.
    """


class Full(Exception):
    """As many things are in a namespace as may be; nothing was written.

    Raised by stores that processes share, of a batch with a receipt.
    """


#: How many things may be in the namespaces that are written to in this context, 0 for any number:
#: stores that processes share count them as they write, and others leave that to who writes.
MOST_KEPT: ContextVar[int] = ContextVar("most_kept", default=0)


#: What the store has the receipts of effects under.
RECEIPTS = "receipts"


async def once(call: ToolCall, effect: Effect[T], *, among: str = "", most: int = 0) -> T:
    """The output of `effect`, whose writes are stored at most once for this step.

    `effect` reads what it needs and returns its output and the writes. No other effect of the owner
    under the same name `among` (default: one name for all) runs in between. The receipt goes in
    the same batch as the writes; a step that has one gets its stored output, with no second effect.
    Where processes share the store, `effect` is called again if another one came between, and
    `Full` is raised where it would leave more than `most` in a namespace (0: any number).
    A cancellation during the write is raised when the write has ended.
    """
    receipts = namespace(RECEIPTS, call.owner)
    async with _lock(call.owner, among):
        while True:
            receipt = await call.store.aget(receipts, call.step_key)
            if receipt is not None:
                return cast("T", copy.deepcopy(receipt.value["output"]))
            output, writes = await effect()
            stored = {"output": copy.deepcopy(output)}
            written = [*writes, PutOp(receipts, call.step_key, stored, index=False)]
            limited = MOST_KEPT.set(most)
            try:
                await _finish(call.store.abatch(written))
            except Outdated:
                continue
            finally:
                MOST_KEPT.reset(limited)
            return output


# Calls whose effect may happen at every call: a receipt is stored before the tool is entered, and
# what it has returned is stored there afterwards.


#: What the store has these receipts under.
BEGUN = "begun"


@dataclass(frozen=True)
class Begun:
    """A call that was begun, at an epoch second, as so manieth attempt at its step.

    `ended_at` is when it returned `output`; None where nothing is known of its end.
    """

    attempt: int
    at: float
    ended_at: float | None = None
    output: Any = None


async def find_begun(store: BaseStore, owner: str, step_key: str) -> Begun | None:
    """The latest call of a step that was begun, or None."""
    receipt = await store.aget(namespace(BEGUN, owner), step_key)
    return Begun(**copy.deepcopy(receipt.value)) if receipt else None


async def note_begun(call: ToolCall, begun: Begun) -> None:
    """Store that a call is about to be begun; once this returns it survives power loss.

    A caller who is cancelled meanwhile does not begin, and leaves no receipt.
    """
    try:
        await _finish(_put(call, {"attempt": begun.attempt, "at": begun.at}))
    except asyncio.CancelledError:
        await _finish(_put(call, None))
        raise


async def note_returned(call: ToolCall, begun: Begun, output: Any) -> None:
    """Store what a call has returned that was begun."""
    value = {"attempt": begun.attempt, "at": begun.at, "ended_at": time.time(), "output": output}
    await _finish(_put(call, value))


async def forget_begun(call: ToolCall) -> None:
    """Store that the call has ended without having done anything."""
    await _finish(_put(call, None))


def waits_for_disk(op: PutOp) -> bool:
    """Whether a write to the store must survive power loss before anything follows it."""
    return op.namespace[0] == BEGUN and op.value is not None and "output" not in op.value


def _put(call: ToolCall, value: dict[str, Any] | None) -> Awaitable[Any]:
    place = namespace(BEGUN, call.owner)
    return call.store.abatch([PutOp(place, call.step_key, copy.deepcopy(value), index=False)])


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


# Bytes that tools return.


#: What the store has bytes under.
BLOBS = "blobs"

#: The most that is kept of what one call returns, in bytes.
MAX_BLOBS = 4 * 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Bytes, and what kind of thing they are, as their sender says."""

    mime: str
    data: bytes

    @property
    def name(self) -> str:
        """Their SHA-256, in hexadecimal."""
        return sha256(self.data).hexdigest()


async def keep_blobs(call: ToolCall, blobs: Sequence[Blob]) -> set[str]:
    """Store what a call has returned; the names of those that are kept, the first within the limit.

    What earlier attempts at the step have returned is kept with it.
    """
    place = namespace(BLOBS, call.owner)
    stored = await call.store.aget(place, call.step_key)
    kept: dict[str, list[str]] = dict(stored.value) if stored else {}
    before = len(kept)
    left = MAX_BLOBS - sum(len(data) for _, data in kept.values())
    names = set()
    for blob in blobs:
        data = b64encode(blob.data).decode()
        if blob.name not in kept and len(data) <= left:
            kept[blob.name] = [blob.mime, data]
            left -= len(data)
        if blob.name in kept:
            names.add(blob.name)
    if len(kept) > before:
        await call.store.abatch([PutOp(place, call.step_key, kept, index=False)])
    return names


async def find_blob(store: BaseStore, owner: str, step_key: str, name: str) -> Blob | None:
    """The bytes of this name that a step has returned, or None."""
    stored = await store.aget(namespace(BLOBS, owner), step_key)
    if stored is None or name not in stored.value:
        return None
    mime, data = stored.value[name]
    return Blob(mime, b64decode(data))
