"""What a server answers to a call, as an output that can be kept."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tools.blobs import Blob
from tools.registry import ToolError

if TYPE_CHECKING:
    from mcp.types import CallToolResult

#: Keeps bytes beside the output; the names of those that are kept.
Keep = Callable[[Sequence[Blob]], Awaitable[set[str]]]


async def output_of(result: "CallToolResult", keep: Keep) -> Any:
    """The output: structured content, else text, else blocks with size, type and hash.

    Raises `ToolError` with the server's text where it says that the call has failed.
    """
    blocks = result.content
    texts = [block.text for block in blocks if block.type == "text"]
    if result.is_error:
        raise ToolError("\n".join(texts).strip() or "the server says that it failed, and not why")
    if result.structured_content is not None:
        return result.structured_content
    if len(texts) == len(blocks):
        return "\n".join(texts)
    return await _described(blocks, keep)


async def _described(blocks: Sequence[Any], keep: Keep) -> list[dict[str, Any]]:
    blobs = [_blob(block) for block in blocks]
    found = [blob for blob in blobs if blob is not None]
    kept = await keep(found) if found else set()
    return [_block(block, blob, kept) for block, blob in zip(blocks, blobs, strict=True)]


def _blob(block: Any) -> Blob | None:
    """The bytes of a block that has some which can be read."""
    held = getattr(block, "resource", block)
    data = getattr(held, "blob", getattr(held, "data", None))
    if not isinstance(data, str):
        return None
    try:
        return Blob(held.mime_type or "application/octet-stream", b64decode(data, validate=True))
    except ValueError:
        return None


def _block(block: Any, blob: Blob | None, kept: set[str]) -> dict[str, Any]:
    match block.type:
        case "text":
            return {"type": "text", "text": block.text}
        case "image" | "audio":
            return {"type": block.type, "mime": block.mime_type, **_weighed(blob, kept)}
        case "resource_link":
            return {"type": "resource_link", "uri": str(block.uri), "mime": block.mime_type}
        case "resource":
            held = block.resource
            about = {"type": "resource", "uri": str(held.uri), "mime": held.mime_type}
            text = getattr(held, "text", None)
            return about | ({"text": text} if text is not None else _weighed(blob, kept))
        case other:
            return {"type": str(other)}


def _weighed(blob: Blob | None, kept: set[str]) -> dict[str, Any]:
    """The size and the hash of bytes, and whether they are kept."""
    if blob is None:
        return {"bytes": None, "sha256": None, "kept": False}
    return {"bytes": len(blob.data), "sha256": blob.name, "kept": blob.name in kept}
