"""Runs: accepting, reading and cancelling them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.answers import RunAnswer, json_answer, run_answer
from api.cancellation import Cancelled, present_cancelled
from api.dependencies import CallerDep, OwnerDep, RunsDep
from api.idempotency import POSTED, IdempotencyKey, post_run
from api.listing import RunList, present_page
from api.openapi import WITH_BODY, problems
from api.parameters import MOST, Between, MaxValueBytes
from api.problems import OutputNotFound
from api.schemas import CancelCreate, RunCreate, RunCreated
from api.search import RunQuery, RunSearch
from api.strict_json import StrictRoute
from graph.commands.cancel import AlreadySettled
from graph.queue.executor import QueueFull
from graph.runs.accept import KeyReused, NotAccepting
from graph.runs.reader import RunNotFound, StorageUnavailable
from graph.service import PromptRejected
from graph.storage.pages import InvalidCursor

router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.post(
    "/runs",
    status_code=201,
    response_class=JSONResponse,
    responses={
        201: {"model": RunCreated, "description": "Accepted and on disk.", "headers": POSTED},
        **problems(
            *WITH_BODY, PromptRejected, KeyReused, QueueFull, NotAccepting, StorageUnavailable
        ),
    },
)
async def create_run(
    body: RunCreate, runs: RunsDep, owner: OwnerDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a task. It is planned and executed after the answer; read the run to follow it."""
    posted = await post_run(runs, body, idempotency_key, owner=owner)
    # The first answer again: a run that is just accepted is pending.
    status = posted.record["status"] if posted.record else "pending"
    return json_answer({"run_id": posted.run_id, "status": status}, 201, posted.headers)


@router.get(
    "/runs/{run_id}",
    response_class=JSONResponse,
    responses={
        200: {"model": RunAnswer, "description": "The record."},
        **problems(RequestValidationError, RunNotFound, StorageUnavailable),
    },
)
async def read_run(
    run_id: str, runs: RunsDep, owner: OwnerDep, max_value_bytes: MaxValueBytes = None
) -> Response:
    """The complete record of a run: plan, attempts, waits, errors, usage and result."""
    return run_answer(await runs.get(run_id, owner=owner), max_value_bytes)


@router.get(
    "/runs",
    response_class=JSONResponse,
    responses={
        200: {"model": RunList, "description": "A page of runs."},
        **problems(RequestValidationError, InvalidCursor, StorageUnavailable),
    },
)
async def list_runs(
    runs: RunsDep, owner: OwnerDep, asked: Annotated[RunQuery, Query()]
) -> Response:
    """Runs by filters; without any of them the newest 50, newest first."""
    page = await runs.search(owner, asked.plain_search(), asked.cursor)
    return json_answer(present_page(page))


@router.post(
    "/runs/search",
    response_class=JSONResponse,
    responses={
        200: {"model": RunList, "description": "A page of runs."},
        **problems(*WITH_BODY, InvalidCursor, StorageUnavailable),
    },
)
async def search_runs(body: RunSearch, runs: RunsDep, owner: OwnerDep) -> Response:
    """Runs by filters, all of which have to hold; what is left out does not matter."""
    page = await runs.search(owner, body.plain_search(), body.cursor)
    return json_answer(present_page(page))


@router.get(
    "/runs/{run_id}/log/{n}/output",
    response_class=JSONResponse,
    responses={
        200: {"description": "The output, whatever JSON it is; null of an attempt that failed."},
        **problems(RequestValidationError, RunNotFound, OutputNotFound, StorageUnavailable),
    },
)
async def read_output(
    run_id: str,
    n: Annotated[
        int,
        Between(1, MOST),
        Path(description="The attempt's place in `execution_log`, from 1."),
    ],
    runs: RunsDep,
    owner: OwnerDep,
) -> Response:
    """The whole output of one attempt, however large."""
    attempts = (await runs.get(run_id, owner=owner))["execution_log"]
    if n > len(attempts):
        raise OutputNotFound(n, len(attempts))
    return json_answer(attempts[n - 1]["output"])


@router.post(
    "/runs/{run_id}/cancel",
    response_class=JSONResponse,
    responses={
        200: {"model": Cancelled, "description": "Cancelled, now or before."},
        **problems(*WITH_BODY, RunNotFound, AlreadySettled, NotAccepting, StorageUnavailable),
    },
)
async def cancel_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    caller: CallerDep,
    body: CancelCreate | None = None,
) -> Response:
    """Cancel a run wherever it is. What was done stays done; the answer tells what that is.

    It takes no body. Once answered, nothing of the run goes on; asked again, it answers the same.
    """
    return json_answer(present_cancelled(await runs.cancel(run_id, by=caller, owner=owner)))
