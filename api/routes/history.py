"""The history of a run as JSON: its documentation, and its times as people read them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.openapi import problems
from api.parameters import OwnerDep, RunsDep
from api.strict import StrictRoute
from api.views.answers import json_answer
from api.views.record import Run, present
from api.views.times import Time, rfc3339
from graph.record.record import record_of
from graph.runs.history import Checkpoint, CheckpointEntry, CheckpointNotFound
from graph.runs.reader import RunNotFound, StorageUnavailable
from graph.state import Status


class LoggedView(BaseModel):
    """An entry that was added to the run's log."""

    kind: str = Field(description="`attempt` or `mark`.")
    step: int | None = Field(description="The step that was attempted.")
    attempt: int | None = Field(description="Which attempt at it, counted from 1.")
    status: str | None = Field(description="How the attempt ended.")
    what: str | None = Field(description="What the mark says.")


class CheckpointView(BaseModel):
    """One checkpoint of a run, and what it has changed."""

    checkpoint_id: str = Field(description="Its id.")
    time: Time = Field(description="When it was stored.")
    node: str | None = Field(
        description="The node that led to it; null for what came from outside."
    )
    status: Status | None = Field(description="How the run stood; null for its input.")
    cursor: int | None = Field(description="Steps that were done or left out.")
    next: list[str] = Field(description="The node that was to follow; none at an end.")
    changed: list[str] = Field(description="What is not as in the checkpoint before.")
    logged: list[LoggedView] = Field(description="What was added to the log.")


class History(BaseModel):
    """Checkpoints of a run."""

    checkpoints: list[CheckpointView] = Field(description="The newest first.")
    before: str | None = Field(
        description="The `before` that asks for the page which follows; null after the last."
    )


class CheckpointDetail(BaseModel):
    """One checkpoint of a run with all that was stored."""

    checkpoint: CheckpointView = Field(description="The checkpoint.")
    run: Run | None = Field(description="The record as it was then; null for the run's input.")


def present_checkpoint(entry: CheckpointEntry) -> dict[str, Any]:
    """The checkpoint as `CheckpointView` documents it."""
    shown = {name: value for name, value in entry.items() if name != "at"}
    return shown | {"time": rfc3339(datetime.fromisoformat(entry["at"]).timestamp())}


def present_detail(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint as `CheckpointDetail` documents it."""
    state = checkpoint["state"]
    return {
        "checkpoint": present_checkpoint(checkpoint["entry"]),
        "run": present(record_of(state)) if state else None,
    }


router = APIRouter(route_class=StrictRoute, tags=["history"])

#: How many checkpoints are read at once, at most and unless more are asked for.
MOST, PAGE = 200, 50

PageSize = Annotated[int, Query(ge=1, le=MOST, description="Most checkpoints of the answer.")]

Before = Annotated[
    str | None, Query(description="Only checkpoints older than the one with this id.")
]


@router.get(
    "/runs/{run_id}/history",
    response_class=JSONResponse,
    responses={
        200: {"model": History, "description": "Checkpoints, the newest first."},
        **problems(RequestValidationError, RunNotFound, CheckpointNotFound, StorageUnavailable),
    },
)
async def read_history(
    run_id: str, runs: RunsDep, owner: OwnerDep, before: Before = None, limit: PageSize = PAGE
) -> Response:
    """What was stored of a run, step by step; none while nothing of it was begun."""
    page = await runs.history(run_id, owner=owner, limit=limit, before=before)
    checkpoints = [present_checkpoint(entry) for entry in page["checkpoints"]]
    return json_answer({"checkpoints": checkpoints, "before": page["before"]})


@router.get(
    "/runs/{run_id}/history/{checkpoint_id}",
    response_class=JSONResponse,
    responses={
        200: {"model": CheckpointDetail, "description": "The checkpoint."},
        **problems(RequestValidationError, RunNotFound, CheckpointNotFound, StorageUnavailable),
    },
)
async def read_checkpoint(
    run_id: str, checkpoint_id: str, runs: RunsDep, owner: OwnerDep
) -> Response:
    """One checkpoint of a run, with the record as it was then."""
    return json_answer(present_detail(await runs.checkpoint(run_id, checkpoint_id, owner=owner)))
