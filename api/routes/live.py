"""Following runs: their events as they come, and waiting for their end."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.middleware.guards import unless_gone
from api.openapi import NEW_RUN, WITH_BODY, changes, problems, run_events
from api.parameters import (
    PAGE,
    WAIT,
    After,
    LastEventId,
    Limit,
    MaxValueBytes,
    OwnerDep,
    RunsDep,
    StrictRoute,
    Timeout,
    named,
)
from api.routes.runs import POSTED, IdempotencyKeyHeader, post_run
from api.schemas import RunCreate
from api.streams import ChangesStream, EventNotFound, RunStream, check_position
from api.views import EventPage, RunAnswer, answered, json_answer, run_answer
from graph.queue.executor import NotAccepting
from graph.runs.accept import KeyReused
from graph.runs.context import RunNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected
from graph.state.status import SETTLED
from graph.storage.storage import StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["live"])


@router.get(
    "/runs/stream",
    response_class=Response,
    responses={200: changes("`run.changed` and `heartbeat`, until the server ends."), **problems()},
)
async def stream_changes(request: Request, runs: RunsDep, owner: OwnerDep) -> Response:
    """Which runs change from now on, as server-sent events; changes close together are one.

    They have no ids: a client that comes again reads `GET /runs` for what was missed.
    """
    return ChangesStream(
        runs.broadcaster.changes(owner=owner), heartbeat=request.app.state.heartbeat
    )


@router.get(
    "/runs/{run_id}/stream",
    response_class=Response,
    responses={
        200: run_events(
            "The events in order, with their numbers as ids, and `heartbeat`s; how far an attempt "
            "says that it is, as `step.progress`, and the words of the answer while it is given, "
            "as `answer.delta`, are live only."
        ),
        204: {"description": "`end` was seen: there is nothing to come again for."},
        **problems(RunNotFound, EventNotFound, StorageUnavailable),
    },
)
async def stream_run(
    run_id: str,
    request: Request,
    runs: RunsDep,
    owner: OwnerDep,
    last_event_id: LastEventId = None,
    after: After = 0,
) -> Response:
    """The events of a run as server-sent events: those of the past, then each as it comes.

    They can be read again from any number for as long as the run is kept, also after a restart of
    the server. `end` is the last one; the stream closes after it.
    """
    return RunStream(
        runs.watching(run_id, owner=owner),
        after=after if last_event_id is None else last_event_id,
        encoded_events=request.app.state.encoded_events,
        heartbeat=request.app.state.heartbeat,
    )


@router.get(
    "/runs/{run_id}/events",
    response_class=JSONResponse,
    responses={
        200: answered(EventPage, "The events in order."),
        **problems(RunNotFound, EventNotFound, StorageUnavailable),
    },
)
async def read_events(
    run_id: str, runs: RunsDep, owner: OwnerDep, after: After = 0, limit: Limit = PAGE
) -> Response:
    """The events of a run so far, as its stream tells them."""
    async with runs.watching(run_id, owner=owner, latest=True) as subscription:
        check_position(subscription, after)
        page = {
            "events": subscription.events[after : after + limit],
            "last_event_id": len(subscription.events),
            "ended": subscription.ended,
        }
    return json_answer(page, EventPage)


@router.post(
    "/runs/wait",
    status_code=201,
    response_class=JSONResponse,
    responses={
        201: answered(RunAnswer, "Accepted and settled.", headers=POSTED),
        202: answered(
            RunAnswer, "Accepted and on disk, not settled within the timeout.", headers=POSTED
        ),
        **problems(
            *WITH_BODY,
            PromptRejected,
            ThreadNotFound,
            KeyReused,
            *NEW_RUN,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def create_run_and_wait(
    body: RunCreate,
    request: Request,
    runs: RunsDep,
    owner: OwnerDep,
    timeout: Timeout = WAIT,
    max_value_bytes: MaxValueBytes = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Accept a task as `POST /runs` does, and answer with its record once it is settled.

    One that waits until its plan is approved is answered at once, with 202. The run
    continues when the client leaves or the time is up.
    """
    posted = await post_run(runs, body, idempotency_key, owner=owner, by=named(owner))
    run_id = posted.run_id
    accepted = posted.record or await runs.get(run_id, owner=owner)
    # It is accepted: that its end cannot be read must not make anybody post it again.
    with suppress(StorageUnavailable):
        waiting = runs.wait(run_id, timeout, owner=owner)
        accepted = await unless_gone(request.receive, waiting) or accepted
    return run_answer(
        accepted,
        max_value_bytes,
        status=201 if accepted["status"] in SETTLED else 202,
        headers=posted.headers,
    )


@router.get(
    "/runs/{run_id}/wait",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "Settled."),
        202: answered(RunAnswer, "Not settled within the timeout."),
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def wait_for_run(
    run_id: str,
    request: Request,
    runs: RunsDep,
    owner: OwnerDep,
    timeout: Timeout = WAIT,
    max_value_bytes: MaxValueBytes = None,
) -> Response:
    """The record of a run once it is settled, or as it is when the time is up.

    One that waits until its plan is approved is answered at once, with 202.
    """
    record = await unless_gone(request.receive, runs.wait(run_id, timeout, owner=owner))
    if record is None:
        return Response()  # to nobody
    status = 200 if record["status"] in SETTLED else 202
    return run_answer(record, max_value_bytes, status=status)
