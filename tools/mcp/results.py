"""What a server answers to a call, as an output that can be kept."""

from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tools.registry import ToolError

if TYPE_CHECKING:
    from mcp.types import CallToolResult


def output_of(result: "CallToolResult") -> Any:
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
    return _described(blocks)


def _described(blocks: Sequence[Any]) -> list[dict[str, Any]]:
    return [_block(block) for block in blocks]


def _block(block: Any) -> dict[str, Any]:
    match block.type:
        case "text":
            return {"type": "text", "text": block.text}
        case "image" | "audio":
            return {"type": block.type, "mime": block.mime_type, **_weighed(block.data)}
        case "resource_link":
            return {"type": "resource_link", "uri": str(block.uri), "mime": block.mime_type}
        case "resource":
            held = block.resource
            about = {"type": "resource", "uri": str(held.uri), "mime": held.mime_type}
            text = getattr(held, "text", None)
            return about | ({"text": text} if text is not None else _weighed(held.blob))
        case other:
            return {"type": str(other)}


def _weighed(data: str) -> dict[str, Any]:
    """The size and the hash of what is not kept itself."""
    try:
        raw = b64decode(data, validate=True)
    except ValueError:
        return {"bytes": None, "sha256": None}
    return {"bytes": len(raw), "sha256": sha256(raw).hexdigest()}
