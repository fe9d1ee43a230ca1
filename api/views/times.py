"""How a moment is written: RFC 3339, UTC, milliseconds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, overload

from pydantic import WithJsonSchema

Time = Annotated[
    datetime,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-22T12:00:00.000Z"]}
    ),
]


@overload
def rfc3339(epoch: float) -> str: ...
@overload
def rfc3339(epoch: None) -> None: ...
def rfc3339(epoch: float | None) -> str | None:
    """`epoch` seconds as `2026-11-22T12:00:00.000Z`; a moment not known yet stays None."""
    if epoch is None:
        return None
    moment = datetime.fromtimestamp(epoch, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def present_times(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run, whole or as in a list, with the times that both have as RFC 3339."""
    names = ("created_at", "started_at", "completed_at")
    return {**run, **{name: rfc3339(run[name]) for name in names}}
