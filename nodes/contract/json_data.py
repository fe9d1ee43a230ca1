"""What may become part of a checkpoint: plain JSON of bounded size and depth."""

import json
import math
import re
from typing import Any, NoReturn

_INT64 = 2**63
_MAX_DEPTH = 100  # lists and objects inside one another; a checkpoint holds some 250


#: What text cannot have in a record: neither a checkpoint nor a database holds it.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and half a surrogate pair


def storable(text: str) -> str:
    """The text with a question mark in the place of half a surrogate pair."""
    return text.encode(errors="replace").decode()


class InvalidOutput(Exception):
    """A value that cannot be kept; the message says why and what would be right."""


def plain(value: Any, *, max_bytes: int, what: str = "output") -> Any:
    """The value as it will read after a reload: tuples become lists, nothing else changes.

    Raises `InvalidOutput` for anything JSON has no form for, for integers beyond 64 bits
    (a checkpoint cannot hold them) and for more than `max_bytes` bytes of JSON. `what` names the
    value in the message.
    """
    return measured(value, max_bytes=max_bytes, what=what)[0]


def measured(value: Any, *, max_bytes: int, what: str = "output") -> tuple[Any, int]:
    """The value as `plain` has it, and how many bytes of JSON that are."""
    try:
        _check(value, what)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidOutput(
            f"the {what} holds half a surrogate pair; only whole characters are text"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidOutput(f"the {what} is not plain JSON data: {error}") from None
    check_size(size, max_bytes=max_bytes, what=what)
    return json.loads(text), size


def check_size(size: int, *, max_bytes: int, what: str = "output") -> None:
    """Raises `InvalidOutput` for JSON of so many bytes, where that is too much."""
    if size > max_bytes:
        raise InvalidOutput(f"the {what} has {size} bytes; at most {max_bytes} are kept")


#: What has fewer bytes counts for nothing in the size of a record: a plan is short enough.
SMALL = 1024


def counted_size(*values: Any) -> int:
    """How many bytes of JSON these have, plain data that are not small, together."""
    return sum(counted(len(json.dumps(value, ensure_ascii=False).encode())) for value in values)


def counted(size: int) -> int:
    """What JSON of so many bytes counts in the size of a record."""
    return size if size >= SMALL else 0


def _check(value: Any, what: str, depth: int = 0) -> None:
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise InvalidOutput(f"the {what} holds an integer beyond 64 bits; write it as text")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidOutput(
            f"the {what} holds the number {value}, which JSON lacks; write it as text"
        )
    if not isinstance(value, dict | list | tuple):
        return
    if depth == _MAX_DEPTH:
        raise InvalidOutput(
            f"the {what} is nested more than {_MAX_DEPTH} levels deep, or holds itself"
        )
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidOutput(f"the {what} has the key {key!r}; keys must be text")
    for item in value.values() if isinstance(value, dict) else value:
        _check(item, what, depth + 1)


# JSON as RFC 8259 defines it; Python's parser takes NaN, and the last of two equal keys.


def loads(text: str) -> Any:
    """The value that `text` holds; guessing which of two equal keys was meant would be wrong.

    Raises `json.JSONDecodeError` for what is no JSON at all, `ValueError` for what is only nearly
    JSON, and `RecursionError` for what is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the key {name[:60]!r} is given twice; give it once")
        fields[name] = value
    return fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; use null or a number")
