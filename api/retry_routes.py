"""Retrying: a run that failed or was cancelled goes on, one that waits does so at once."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.answers import RunAnswer, json_answer, run_answer
from api.dependencies import CallerDep, OwnerDep, RunsDep
from api.openapi import WITH_BODY, problems
from api.parameters import MaxValueBytes
from api.retrying import RetriedNow, RetryCreate, RetryNowCreate, present_retried_now
from api.strict_json import StrictRoute
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected, RetryRequest
from graph.queue.executor import QueueFull
from graph.runs.accept import NotAccepting
from graph.runs.reader import RunNotFound, StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.post(
    "/runs/{run_id}/retry",
    response_class=JSONResponse,
    responses={
        200: {"model": RunAnswer, "description": "It goes on; the order to do so is on disk."},
        **problems(
            *WITH_BODY,
            RetryRejected,
            RunNotFound,
            NotRetryable,
            NotPlanned,
            QueueFull,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def retry_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    caller: CallerDep,
    body: RetryCreate | None = None,
    max_value_bytes: MaxValueBytes = None,
) -> Response:
    """Let a failed or cancelled run go on, from the step at which it stopped or an earlier one.

    A step can be given another input, and steps can be left out. A run that has no plan is planned
    again.
    """
    request = body.plain_request() if body else RetryRequest()
    return run_answer(await runs.retry(run_id, request, by=caller, owner=owner), max_value_bytes)


@router.post(
    "/runs/{run_id}/retry-now",
    response_class=JSONResponse,
    responses={
        200: {"model": RetriedNow, "description": "It waits no more."},
        **problems(*WITH_BODY, RunNotFound, NoBackoff, StorageUnavailable),
    },
)
async def retry_run_now(
    run_id: str, runs: RunsDep, owner: OwnerDep, body: RetryNowCreate | None = None
) -> Response:
    """Make the attempt at once that a run waits for. It takes no body."""
    return json_answer(present_retried_now(await runs.retry_now(run_id, owner=owner)))
