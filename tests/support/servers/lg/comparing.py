"""Two answers field by field: what one has and the other has not, and where their values differ."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: What is another with every call: ids, moments, and how long something took.
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.]*(Z|\+00:00)")
_MOMENTS = re.compile(r"(^at|_at|_ms|seconds|duration|time|spent|waited)$")


def settled(value: Any, name: str = "") -> Any:
    """The value with a word for all that is another with every call."""
    if isinstance(value, dict):
        return {_ID.sub("<id>", key): settled(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [settled(one, name) for one in value]
    if isinstance(value, str):
        return _TIME.sub("<time>", _ID.sub("<id>", value))
    if isinstance(value, float | int) and not isinstance(value, bool) and _MOMENTS.search(name):
        return "<number>"
    return value


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where two settled answers differ: `+ path` is here only, `- path` there, `path` another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            place = f"{path}.{name}" if path else name
            if name not in theirs:
                yield f"+ {place}"
            elif name not in ours:
                yield f"- {place}"
            else:
                yield from differences(ours[name], theirs[name], place)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path or 'the answer'}.length"
        for one, other in zip(ours, theirs, strict=False):
            yield from differences(one, other, f"{path}[]")
    elif ours != theirs:
        yield path or "the answer"


def told(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A stream as what is compared of it: what each kind tells, by node where that is named.

    Of values the first and the last: how many there are in between is a matter of the checkpoints.
    """
    data: dict[str, list[Any]] = {}
    for part in parts:
        data.setdefault(part["event"], []).append(part["data"])
    if "values" in data:
        data["values"] = [data["values"][0], data["values"][-1]]
    updates = {node: one for update in data.pop("updates", []) for node, one in update.items()}
    return {**data, **({"updates": updates} if updates else {})}


def grouped(paths: Iterable[str]) -> str:
    """The paths in one line, those beside each other together."""
    beside: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        parent, _, name = path.rpartition(".")
        beside.setdefault(parent, []).append(name)
    told = []
    for parent, names in beside.items():
        if not parent:
            told += names
        elif len(names) == 1:
            told.append(f"{parent}.{names[0]}")
        else:
            told.append(f"{parent}.{{{', '.join(names)}}}")
    return ", ".join(f"`{one}`" for one in told)
