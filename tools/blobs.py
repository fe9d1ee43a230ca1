"""Pictures, sounds and other bytes that tools return: kept beside the record, which has their hash.

All of one step are one entry of the store under the key of the step, so that they go with the run.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from langgraph.store.base import BaseStore, PutOp

from tools.receipts import namespace
from tools.registry import ToolCall

#: What the store has them under.
BLOBS = "blobs"

#: The most that is kept of one call, in bytes.
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Bytes, and what kind of thing they are, as their sender says."""

    mime: str
    data: bytes

    @property
    def name(self) -> str:
        """Their SHA-256, in hexadecimal."""
        return sha256(self.data).hexdigest()


async def keep(call: ToolCall, blobs: Sequence[Blob]) -> set[str]:
    """Store what a call has returned; the names of those that are kept, the first within the limit.

    What earlier attempts at the step have returned is kept with it.
    """
    place = namespace(BLOBS, call.owner)
    stored = await call.store.aget(place, call.step_key)
    kept: dict[str, list[str]] = dict(stored.value) if stored else {}
    before = len(kept)
    left = MAX_BYTES - sum(len(data) for _, data in kept.values())
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


async def find(store: BaseStore, owner: str, step_key: str, name: str) -> Blob | None:
    """The bytes of this name that a step has returned, or None."""
    stored = await store.aget(namespace(BLOBS, owner), step_key)
    if stored is None or name not in stored.value:
        return None
    mime, data = stored.value[name]
    return Blob(mime, b64decode(data))
