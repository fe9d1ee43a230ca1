"""The calls that a server describes, each with a body that it accepts."""

from collections.abc import Iterator, Mapping
from typing import Any

#: What a call is sent where an empty object is not a valid body.
BODIES: Mapping[str, Any] = {
    "POST /runs": {"prompt": "2 + 2"},
    "POST /runs/wait": {"prompt": "2 + 2"},
    "POST /runs/{run_id}/fork": {"checkpoint_id": "1"},
    "POST /runs/{run_id}/resolve": {"as": "fail"},
    "POST /plan": {"prompt": "2 + 2"},
}


def calls(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every call of an OpenAPI document: method, path, and a body where it takes one."""
    for path, operations in document["paths"].items():
        for name, operation in operations.items():
            method = name.upper()
            takes = "requestBody" in operation
            yield method, path, BODIES.get(f"{method} {path}", {}) if takes else None
