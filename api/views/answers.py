"""Answers in JSON, and the record of a run as one."""

import time
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from api.views.record import Run, present
from api.views.times import Time, rfc3339
from graph.record.record import Record

# Leaving large values out of a record, and saying so.


class Shortened(BaseModel):
    """A value that is not told whole."""

    path: str = Field(
        description="Where it is in the record, as a JSON Pointer. A text is cut and ends with `…`;"
        " in the place of another value is `{shortened: true, bytes, start}`. "
        "`GET /runs/{run_id}/log/{n}/output` has the whole output of the n-th attempt.",
        examples=["/execution_log/0/output"],
    )
    bytes: int = Field(description="How large it is, in bytes of JSON.")


class RunAnswer(Run):
    """Everything about a run as it is just now; null until known."""

    server_time: Time = Field(description="The server's clock, to count times in the future by.")
    shortened: list[Shortened] = Field(
        description="The values that are not told whole; none unless `max_value_bytes` is given."
    )


def json_answer(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """`content` as it is."""
    # Validating a record that was just made would cost more than making it; the tests hold the
    # answers to their documented models instead.
    return Response(to_json(content, inf_nan_mode="strings"), status, headers, "application/json")


def run_answer(
    record: Record,
    max_value_bytes: int | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """The record as `RunAnswer` documents it."""
    shown, shortened = present(record), list[dict[str, Any]]()
    if max_value_bytes is not None:
        shown, shortened = shorten(shown, max_value_bytes)
    now = rfc3339(time.time())
    return json_answer({**shown, "shortened": shortened, "server_time": now}, status, headers)


#: What a tool was given and what it returned: values of any shape, which are replaced as a whole.
_ANY_SHAPE = ("input", "output")


def shorten(record: dict[str, Any], limit: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record with no value of more than `limit` bytes, and the list of those that had more."""
    left_out: list[dict[str, Any]] = []

    def walk(value: Any, path: str, name: str = "") -> Any:
        if name in _ANY_SHAPE or isinstance(value, str):
            written = to_json(value, inf_nan_mode="strings")
            if len(written) <= limit:
                return value
            left_out.append({"path": path, "bytes": len(written)})
            return _in_place_of(value, written, limit, cut=name not in _ANY_SHAPE)
        if isinstance(value, dict):
            return {key: walk(item, f"{path}/{_escaped(key)}", key) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, f"{path}/{place}") for place, item in enumerate(value)]
        return value

    return walk(record, ""), left_out


def _in_place_of(value: Any, written: bytes, limit: int, *, cut: bool) -> Any:
    if cut:
        return _start(value.encode(), limit) + "…"
    text = value.encode() if isinstance(value, str) else written
    return {"shortened": True, "bytes": len(written), "start": _start(text, limit)}


def _start(text: bytes, limit: int) -> str:
    return text[:limit].decode(errors="ignore")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
