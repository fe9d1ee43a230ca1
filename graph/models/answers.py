"""What a provider's answer is held to before its client reads it: no error, and counts that can be.

Clients read what they are told: an error in an answer of status 200 as a fault of the request, and
`true` tokens as one.
"""

import json
import re
from typing import Any

from nodes.planning.model import ModelFailure, is_count

#: Where providers tell what a call took.
_USAGE = ("usage", "usageMetadata")
_LOOSE_COUNTS = ("prompt_eval_count", "eval_count")  # Ollama's, beside the answer itself

_COUNT = re.compile(r"token|count", re.IGNORECASE)

_MOST_DIGITS = 20  # of an integer that is read as one; beyond 64 bits all are the same


def checked(raw: bytes) -> bytes:
    """The body of an answer, its usage zero, which is "not told", where that cannot be.

    Raises `ModelFailure` for one that holds an error. What is no JSON object is for the client.
    """
    try:
        body = json.loads(raw, parse_int=_integer)
    except (ValueError, RecursionError):
        return raw
    if holds_error(body):
        raise ModelFailure("error_in_answer", transient=True)
    if not isinstance(body, dict):
        return raw
    changed = _without_empty_error(body)
    return json.dumps(body).encode() if _without_impossible_usage(body) or changed else raw


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


def holds_error(body: Any) -> bool:
    """Whether an answer, or a part of one, says that something went wrong."""
    if isinstance(body, list):
        return any(map(holds_error, body))
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("errors") or "error" in (body.get("type"), body.get("object")):
        return True
    choices = body.get("choices")
    return isinstance(choices, list) and any(map(_failed, choices))


def _failed(choice: Any) -> bool:
    """Whether a choice ended in the middle, as those who pass calls on to others tell it."""
    return isinstance(choice, dict) and bool(
        choice.get("error") or choice.get("finish_reason") == "error"
    )


def _without_empty_error(body: dict[str, Any]) -> bool:
    """Take out an error that says nothing, which clients take for one; whether there was one."""
    if "error" not in body:
        return False
    del body["error"]
    return True


def _without_impossible_usage(body: dict[str, Any]) -> bool:
    """Set what cannot be to zero, with all that is told beside it; whether that was needed."""
    changed = body.get("type") == "message" and "usage" not in body  # as Anthropic must tell it
    if changed:
        body["usage"] = {}
    for name in _USAGE:
        if name in body and not can_be(body[name]):
            usage = body[name] if isinstance(body[name], dict) else {}
            body[name] = {key: 0 for key in usage if _COUNT.search(key) and "etails" not in key}
            changed = True
    # Where one is missing the client would count for itself.
    if "done" in body and not all(is_count(body.get(name)) for name in _LOOSE_COUNTS):
        body.update(dict.fromkeys(_LOOSE_COUNTS, 0))
        changed = True
    return changed


def can_be(usage: Any) -> bool:
    """Whether what a provider says of the tokens of a call can be."""
    return isinstance(usage, dict) and _counts_can_be(usage, "") and _parts_can_be(usage)


def _counts_can_be(value: Any, name: str) -> bool:
    if isinstance(value, dict | list) and _COUNT.search(name) and "etails" not in name:
        return False
    if isinstance(value, dict):
        return all(_counts_can_be(item, key) for key, item in value.items())
    if isinstance(value, list):
        return all(_counts_can_be(item, name) for item in value)
    return value is None or not _COUNT.search(name) or is_count(value)


def _parts_can_be(usage: dict[str, Any]) -> bool:
    """Whether no part, such as `prompt_tokens_details.cached_tokens`, is larger than its whole."""
    for name, whole in usage.items():
        parts = usage.get(f"{name}_details")
        if not isinstance(parts, dict):
            continue
        counts = [part for key, part in parts.items() if _COUNT.search(key) and part is not None]
        if any(not isinstance(part, int | float) or part > (whole or 0) for part in counts):
            return False
    return True
