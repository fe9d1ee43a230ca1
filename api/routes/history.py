"""The history of a run, and one checkpoint of it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from typing_extensions import TypedDict

from api.openapi import problems
from api.parameters import OwnerDep, RunsDep, StrictRoute
from api.views import Run, answered, json_answer
from graph.record.record import record_of
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound, CheckpointView, HistoryPage
from graph.state.wording import doc
from graph.storage.storage import StorageUnavailable


class History(HistoryPage):
    """Checkpoints of a run."""


class CheckpointDetail(TypedDict):
    """One checkpoint of a run with all that was stored."""

    checkpoint: Annotated[CheckpointView, doc("The checkpoint.")]
    run: Annotated[Run | None, doc("The record as it was then; null for the run's input.")]


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
        200: answered(History, "Checkpoints, the newest first."),
        **problems(RunNotFound, CheckpointNotFound, StorageUnavailable),
    },
)
async def read_history(
    run_id: str, runs: RunsDep, owner: OwnerDep, before: Before = None, limit: PageSize = PAGE
) -> Response:
    """What was stored of a run, step by step; none while nothing of it was begun."""
    page = await runs.history(run_id, owner=owner, limit=limit, before=before)
    return json_answer(page, History)


@router.get(
    "/runs/{run_id}/history/{checkpoint_id}",
    response_class=JSONResponse,
    responses={
        200: answered(CheckpointDetail, "The checkpoint."),
        **problems(RunNotFound, CheckpointNotFound, StorageUnavailable),
    },
)
async def read_checkpoint(
    run_id: str, checkpoint_id: str, runs: RunsDep, owner: OwnerDep
) -> Response:
    """One checkpoint of a run, with the record as it was then."""
    found = await runs.checkpoint(run_id, checkpoint_id, owner=owner)
    record = record_of(found["state"]) if found["state"] else None
    return json_answer({"checkpoint": found["entry"], "run": record}, CheckpointDetail)
