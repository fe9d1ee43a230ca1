"""The history of a run, one checkpoint of it, and forks: new runs that go on from a checkpoint."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from api.openapi import LOCATION, NEW_RUN, WITH_BODY, problems
from api.parameters import OwnerDep, RunsDep, StrictRoute, named
from api.routes.approval import PlanEdit
from api.schemas import MOST_TOOLS, Body, Name, RunCreated, Words, whole
from api.views import Run, answered, json_answer
from graph.commands.dry_runs import NotReplayable, RunDiff, RunExport, RunReplay
from graph.commands.fork import Edits, ForkRejected
from graph.queue.executor import NotAccepting
from graph.queue.fair import RunUsedUp, TooManyPosts
from graph.record.record import record_of
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound, CheckpointView, HistoryPage
from graph.runs.replay import LiveRejected
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


Count = Annotated[int, Field(ge=0, le=10**6), BeforeValidator(whole)]

_CHECKPOINT_ID = re.compile(r"[0-9a-f-]{1,64}")


def _checkpoint_id(given: str) -> str:
    if _CHECKPOINT_ID.fullmatch(given):
        return given
    raise PydanticCustomError(
        "checkpoint_id", "must be a checkpoint_id of the run, as its history lists them"
    )


CheckpointId = Annotated[
    str,
    AfterValidator(_checkpoint_id),
    Field(json_schema_extra={"pattern": f"^{_CHECKPOINT_ID.pattern}$"}),
]


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


replays = APIRouter(route_class=StrictRoute, tags=["replay"])


class RunExportAnswer(RunExport):
    """A run with all that is kept of it."""


class RunReplayAnswer(RunReplay):
    """How a recorded run differs from the same run today."""


class RunDiffAnswer(RunDiff):
    """How two runs differ."""


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
