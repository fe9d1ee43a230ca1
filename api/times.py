"""How a moment is written: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime
from typing import overload


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
