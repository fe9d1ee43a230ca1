"""The history of a run: its checkpoints, page by page and one by one."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.answers import json_answer
from api.dependencies import OwnerDep, RunsDep
from api.history import CheckpointDetail, History, present_checkpoint, present_detail
from api.openapi import problems
from api.parameters import Between
from api.strict_json import StrictRoute
from graph.runs.history import CheckpointNotFound
from graph.runs.reader import RunNotFound, StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["history"])

#: How many checkpoints are read at once, at most and unless more are asked for.
MOST, PAGE = 200, 50

PageSize = Annotated[int, Between(1, MOST), Query(description="Most checkpoints of the answer.")]

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
