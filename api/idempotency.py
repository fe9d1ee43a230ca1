"""`Idempotency-Key`: posting a task again without running it again."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Header
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.openapi import LOCATION
from api.schemas import RunCreate
from graph.record.record import Record
from graph.runs.accept import AlreadyAccepted
from graph.service import Runs
from graph.state.row import RequestKey

#: Longest key, in characters.
LONGEST_KEY = 200

_KEY = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")

#: The headers of an answer that tells of a run that was posted.
POSTED = LOCATION | {
    "Idempotency-Replayed": {
        "description": "`true` where the task had been accepted before, with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def _checked(given: str | None) -> str | None:
    if given is None or _KEY.fullmatch(given):
        return given
    raise PydanticCustomError(
        "idempotency_key",
        "must have 1 to {most} characters of visible ASCII, such as a UUID",
        {"most": LONGEST_KEY},
    )


IdempotencyKey = Annotated[
    str | None,
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "pattern": f"^{_KEY.pattern}$"}),
    Header(
        description="Names this request: sent again within 24 hours with the same body, it makes "
        "no second run but is answered with the first one. A UUID will do."
    ),
]


@dataclass(frozen=True)
class Posted:
    """A task that was accepted now, as `record`, or before."""

    run_id: str
    record: Record | None = None
    headers: dict[str, str] = field(default_factory=dict)


async def post_run(runs: Runs, body: RunCreate, name: str | None, *, owner: str) -> Posted:
    """Accept a task, unless it was accepted before under this key.

    Raises what `Runs.start` raises, but `AlreadyAccepted`.
    """
    key = RequestKey(name=name, fingerprint=_fingerprint(body)) if name is not None else None
    try:
        record = await runs.start(
            body.prompt, owner=owner, budget=body.plain_budget(), approve=body.approve, key=key
        )
    except AlreadyAccepted as before:
        headers = {"Location": f"/runs/{before.run_id}", "Idempotency-Replayed": "true"}
        return Posted(before.run_id, headers=headers)
    return Posted(record["run_id"], record, {"Location": f"/runs/{record['run_id']}"})


def _fingerprint(body: RunCreate) -> str:
    """The same for bodies that mean the same, also when later versions know further fields."""
    meant: dict[str, Any] = body.model_dump(exclude_defaults=True)
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
