"""Runs that are over: exported, run again with all that was recorded, and compared."""

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api.openapi import WITH_BODY, problems
from api.parameters import OwnerDep, RunsDep, StrictRoute
from api.schemas import MOST_TOOLS, Body, Name
from api.views import answered, json_answer
from graph.commands.replay import NotReplayable, RunDiff, RunExport, RunReplay
from graph.queue.quotas import TooManyPosts
from graph.runs.accept import NotAccepting
from graph.runs.context import RunNotFound
from graph.runs.replay import LiveRejected
from graph.storage.storage import StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["replay"])


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


@router.get(
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


@router.post(
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


@router.get(
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
