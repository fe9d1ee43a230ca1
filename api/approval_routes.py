"""Deciding about plans before they are executed."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.answers import RunAnswer, json_answer, run_answer
from api.approval import (
    ApproveCreate,
    DraftAnswer,
    DraftCreate,
    RejectCreate,
    present_draft,
)
from api.connection import unless_gone
from api.dependencies import CallerDep, OwnerDep, RunsDep
from api.openapi import WITH_BODY, problems
from api.strict_json import StrictRoute
from graph.commands.approval import NotWaiting
from graph.runs.accept import NotAccepting
from graph.runs.reader import RunNotFound, StorageUnavailable
from graph.service import PromptRejected
from nodes.approval.edited_plan import PlanUnfit

router = APIRouter(route_class=StrictRoute, tags=["approval"])

_CAUSES = (*WITH_BODY, RunNotFound, NotWaiting, NotAccepting, StorageUnavailable)


@router.post(
    "/runs/{run_id}/approve",
    response_class=JSONResponse,
    responses={
        200: {"model": RunAnswer, "description": "Approved; the run goes on."},
        **problems(*_CAUSES, PlanUnfit),
    },
)
async def approve_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    caller: CallerDep,
    body: ApproveCreate | None = None,
) -> Response:
    """Execute the plan of a waiting run, or an edited plan instead.

    The decision is on disk before it is carried out, and there is one for a run: whoever comes
    second is told so with a 409.
    """
    plan = body.plain_plan() if body else None
    return run_answer(await runs.approve(run_id, by=caller, owner=owner, plan=plan))


@router.post(
    "/runs/{run_id}/reject",
    response_class=JSONResponse,
    responses={
        200: {"model": RunAnswer, "description": "Rejected: cancelled, with nothing more done."},
        **problems(*_CAUSES),
    },
)
async def reject_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    caller: CallerDep,
    body: RejectCreate | None = None,
) -> Response:
    """Settle a waiting run as cancelled, with nothing more done; its `error.type` is `rejected`."""
    reason = body.reason if body else None
    rejected = await runs.reject(run_id, by=caller, owner=owner, reason=reason)
    return run_answer(rejected)


@router.post(
    "/plan",
    response_class=JSONResponse,
    responses={
        200: {"model": DraftAnswer, "description": "Planned, or the reason why there is no plan."},
        **problems(*WITH_BODY, PromptRejected, NotAccepting, StorageUnavailable),
    },
)
async def make_plan(
    body: DraftCreate, request: Request, runs: RunsDep, owner: OwnerDep
) -> Response:
    """A checked plan without a run: nothing is executed, or stored but what it cost.

    It is made as a run's would be: where models are configured they are asked, and their calls
    cost what they cost.
    """
    planning = runs.preview(body.prompt, owner=owner, budget=body.plain_budget())
    draft = await unless_gone(request.receive, planning)
    return json_answer(present_draft(draft)) if draft is not None else Response()  # to nobody
