"""A run over time: events as they come, its end, checkpoints, forks from them, and replays."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from api.middleware.guards import unless_gone
from api.operations import (
    HISTORY_PAGE,
    LOCATION,
    NEW_RUN,
    PAGE,
    WAIT,
    WITH_BODY,
    After,
    Before,
    CheckpointId,
    CheckpointLimit,
    LastEventId,
    Limit,
    MaxValueBytes,
    OwnerDep,
    RunsDep,
    StrictRoute,
    Timeout,
    changes,
    named,
    problems,
    run_events,
)
from api.routes.commands import PlanEdit
from api.routes.runs import POSTED, IdempotencyKeyHeader, post_run
from api.schemas import MOST_TOOLS, Body, Name, RunCreate, RunCreated, Words, whole
from api.streams import ChangesStream, EventNotFound, RunStream, check_position
from api.views import (
    CheckpointDetail,
    EventPage,
    History,
    RunAnswer,
    RunDiffAnswer,
    RunExportAnswer,
    RunReplayAnswer,
    answered,
    json_answer,
    run_answer,
)
from graph.commands.seeded import Edits, ForkRejected
from graph.queue.executor import NotAccepting
from graph.queue.fair import RunUsedUp, TooManyPosts
from graph.record.record import record_of
from graph.runs.accept import KeyReused
from graph.runs.context import RunNotFound
from graph.runs.history import (
    CheckpointNotFound,
    NotReplayable,
)
from graph.runs.replay import LiveRejected
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected
from graph.state.status import SETTLED
from graph.storage.storage import StorageUnavailable

live_router = APIRouter(route_class=StrictRoute, tags=["live"])


@live_router.get(
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


@live_router.get(
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


@live_router.get(
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


@live_router.post(
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


@live_router.get(
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


# How a run went: its checkpoints, and forks.


router = APIRouter(route_class=StrictRoute, tags=["history"])


@router.get(
    "/runs/{run_id}/history",
    response_class=JSONResponse,
    responses={
        200: answered(History, "Checkpoints, the newest first."),
        **problems(RunNotFound, CheckpointNotFound, StorageUnavailable),
    },
)
async def read_history(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    before: Before = None,
    limit: CheckpointLimit = HISTORY_PAGE,
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


Count = Annotated[int, Field(ge=0, le=10**6), BeforeValidator(whole)]


class StateEdit(Body):
    """What is to be another than in the checkpoint."""

    prompt: Words | None = Field(
        None, description="Another task; without a `plan` it is planned anew."
    )
    plan: PlanEdit | None = Field(None, description="Another plan.")
    cursor: Count | None = Field(
        None,
        description="How many steps count as done; by default as many as are the same as in the "
        "checkpoint.",
    )


class ForkCreate(Body):
    """Where a fork begins."""

    checkpoint_id: CheckpointId = Field(
        description="A checkpoint of the run, as its history lists it."
    )
    state: StateEdit | None = Field(None, description="What is to be another from there on.")

    def edits(self) -> Edits:
        """The edits as runs take them."""
        if (state := self.state) is None:
            return Edits()
        steps = [step.model_dump() for step in state.plan.steps] if state.plan else None
        return Edits(prompt=state.prompt, steps=steps, cursor=state.cursor)


@router.post(
    "/runs/{run_id}/fork",
    status_code=201,
    response_class=JSONResponse,
    responses={
        201: {"model": RunCreated, "description": "Accepted and on disk.", "headers": LOCATION},
        **problems(
            *WITH_BODY,
            ForkRejected,
            RunNotFound,
            CheckpointNotFound,
            *NEW_RUN,
            RunUsedUp,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def fork_run(run_id: str, body: ForkCreate, runs: RunsDep, owner: OwnerDep) -> Response:
    """Begin a new run from a checkpoint; the run itself stays as it is.

    Steps that were done by then are not executed again, unless they are edited.
    """
    record = await runs.fork(run_id, body.checkpoint_id, body.edits(), owner=owner, by=named(owner))
    created = {"run_id": record["run_id"], "status": record["status"]}
    return json_answer(created, None, 201, {"Location": f"/runs/{record['run_id']}"})


# Runs that are over: exported, run again, compared.


replays = APIRouter(route_class=StrictRoute, tags=["replay"])


class ReplayCreate(Body):
    """What is not to be as it was recorded."""

    live: list[Annotated[Name, Field(description="A tool.")]] = Field(
        default_factory=list,
        max_length=MOST_TOOLS,
        description="The tools that are called; all others return what was recorded. None of them "
        "may have effects.",
    )


@replays.get(
    "/runs/{run_id}/export",
    response_class=JSONResponse,
    responses={
        200: answered(RunExportAnswer, "The file."),
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def export_run(run_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """A run as a file: its whole state, to be kept, and replayed by any server or command."""
    return json_answer(await runs.replays.export(run_id, owner=owner), RunExportAnswer)


@replays.post(
    "/runs/{run_id}/replay",
    response_class=JSONResponse,
    responses={
        200: answered(RunReplayAnswer, "The comparison."),
        **problems(
            *WITH_BODY,
            RunNotFound,
            LiveRejected,
            NotReplayable,
            TooManyPosts,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def replay_run(run_id: str, body: ReplayCreate, runs: RunsDep, owner: OwnerDep) -> Response:
    """The run again on today's planners and tools, with recorded answers, outputs and decisions.

    No model is asked, nothing is changed, and nothing of it is stored but that it counts as a post.
    """
    return json_answer(
        await runs.replays.replay(run_id, tuple(body.live), owner=owner), RunReplayAnswer
    )


@replays.get(
    "/runs/{run_id}/diff/{other_id}",
    response_class=JSONResponse,
    responses={
        200: answered(RunDiffAnswer, "The comparison."),
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def diff_runs(run_id: str, other_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """What two runs do not have in common: plan, inputs, outputs, status, order and cost."""
    return json_answer(await runs.replays.diff(run_id, other_id, owner=owner), RunDiffAnswer)
