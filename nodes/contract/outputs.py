"""What a tool may return: plain JSON of bounded size, since it becomes part of a checkpoint."""

import json
from typing import Any

_INT64 = 2**63


class InvalidOutput(Exception):
    """An output that cannot be kept; the message says why and what a tool should return."""


def plain(output: Any, *, max_bytes: int) -> Any:
    """The output as it will read after a reload: tuples become lists, nothing else changes.

    Raises `InvalidOutput` for anything JSON has no form for, for integers beyond 64 bits
    (a checkpoint cannot hold them) and for more than `max_bytes` bytes of JSON.
    """
    try:
        text = json.dumps(_checked(output), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidOutput("the output holds half a surrogate pair; return valid text") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidOutput(f"the output is not plain JSON data: {error}") from None
    if size > max_bytes:
        raise InvalidOutput(f"the output has {size} bytes; at most {max_bytes} are kept")
    return json.loads(text)


def _checked(value: Any) -> Any:
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise InvalidOutput("the output holds an integer beyond 64 bits; return it as text")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidOutput(f"the output has the key {key!r}; keys must be text")
            _checked(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _checked(item)
    return value
