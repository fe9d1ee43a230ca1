"""Answers in JSON, and the record of a run as one."""

import time
from typing import Any

from fastapi import Response
from pydantic import Field
from pydantic_core import to_json

from api.record import Run, present
from api.shortening import Shortened, shorten
from api.times import Time, rfc3339
from graph.record.record import Record


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
    told, shortened = present(record), list[dict[str, Any]]()
    if max_value_bytes is not None:
        told, shortened = shorten(told, max_value_bytes)
    now = rfc3339(time.time())
    return json_answer({**told, "shortened": shortened, "server_time": now}, status, headers)
