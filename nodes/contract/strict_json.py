"""JSON as RFC 8259 defines it; Python's parser takes NaN, and the last of two equal keys."""

import json
from typing import Any, NoReturn


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
