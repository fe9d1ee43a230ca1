"""Explaining runs that are kept, and removing them."""

from fastapi import APIRouter, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.answers import json_answer
from api.dependencies import OwnerDep, RunsDep
from api.explanation import ExplanationAnswer, present_explanation
from api.openapi import WITH_BODY, problems
from api.strict_json import StrictRoute
from graph.commands.removal import NotSettled
from graph.runs.reader import RunNotFound, StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.get(
    "/runs/{run_id}/explain",
    response_class=JSONResponse,
    responses={
        200: {"model": ExplanationAnswer, "description": "The explanation."},
        **problems(RequestValidationError, RunNotFound, StorageUnavailable),
    },
)
async def explain_run(run_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """Where the time of a run went and why it ended as it did, in data and in three sentences."""
    return json_answer(present_explanation(await runs.explain(run_id, owner=owner)))


@router.delete(
    "/runs/{run_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "It is gone, with everything that was kept of it."},
        **problems(*WITH_BODY, RunNotFound, NotSettled, StorageUnavailable),
    },
)
async def remove_run(run_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """Remove a settled run for good: record, events and log. What it did, as to-dos, stays."""
    await runs.remove(run_id, owner=owner)
    return Response(status_code=204)
