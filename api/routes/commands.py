"""Commands about a run that stands still: its plan is approved, a step resolved, or it is retried.

The form in which an edited plan is sent is here, and how a task is planned of which no run is made.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, FailFast, Field, TypeAdapter
from typing_extensions import TypedDict

from api.middleware.guards import unless_gone
from api.operations import (
    NEW_RUN,
    WITH_BODY,
    MaxValueBytes,
    OwnerDep,
    RunsDep,
    StrictRoute,
    named,
    problems,
)
from api.schemas import MOST_FAULTS, Body, Steps, Task, Words, whole
from api.views import RunAnswer, answered, json_answer, run_answer
from graph.commands.approval import NotInDoubt, NotWaiting, PlanPreview
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected, RetryRequest
from graph.queue.executor import NotAccepting
from graph.queue.fair import RunUsedUp, TooManyPosts
from graph.record.record import Record
from graph.runs.accept import ChoiceRejected
from graph.runs.context import RunNotFound
from graph.service import PromptRejected
from graph.state import ResolvedAs, Status
from graph.state.wording import Time, doc
from graph.storage.storage import StorageUnavailable
from nodes.approval.questions import AnswerUnfit, PlanUnfit

#: A place in the prompt.
Position = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(whole)]


class StepEdit(Body):
    """One step of an edited plan, as the record shows steps; most of it may be left out."""

    step: Steps | None = Field(None, description="Its place in the plan, counted from 1.")
    tool: Words = Field(description="The tool that it calls.")
    input: dict[str, Any] = Field(
        {}, description="What the tool is given; may refer to earlier outputs."
    )
    reasoning: Words = Field("", description="Why the step is there.")
    span: list[Position] | None = Field(
        None, min_length=2, max_length=2, description="The words of the prompt that it is for."
    )


_EACH = TypeAdapter(Annotated[list[StepEdit], FailFast()])


def _sound_where_many(steps: Any) -> Any:
    """Of very many the first that is no step is told, and the others are not looked at."""
    if isinstance(steps, list) and len(steps) > MOST_FAULTS:
        _EACH.validate_python(steps)
    return steps


class PlanEdit(Body):
    """A plan to be executed instead of the proposed one; it is checked as every plan is."""

    steps: Annotated[list[StepEdit], BeforeValidator(_sound_where_many)] = Field(
        min_length=1,
        description="In the order of execution; of a later round its own steps only, numbered on.",
    )
    then: Literal["done", "look"] = Field(
        "done",
        description="What follows: `done` the end; `look`: a model sees what the steps returned, "
        "and plans on.",
    )
    rounds: Any = Field(None, description="As records show them; not read.")


# Plans that a person is asked about: what is sent to decide, and a plan without a run.


class ApproveCreate(Body):
    """A yes to the plan of a run, or to another plan."""

    plan: PlanEdit | None = Field(None, description="What to execute instead, if anything.")
    check: bool = Field(
        False, description="Whether the plan is only to be checked: nothing is decided then."
    )

    def plain_plan(self) -> dict[str, Any] | None:
        """The edited plan as plain data."""
        return None if self.plan is None else self.plan.model_dump()


class RejectCreate(Body):
    """A no to the plan of a run."""

    reason: Words | None = Field(
        None, max_length=2_000, description="Why; it is kept in the record."
    )


class ResolveCreate(Body):
    """What became of a step that may have acted."""

    decided: ResolvedAs = Field(
        alias="as",
        description="`done`: it has acted, and the run goes on with `output`; `redo`: it is called "
        "again; `skip`: the run goes on without it; `fail`: the run fails.",
    )
    output: Any = Field(None, description="With `done` only: what it has returned.")


class DraftCreate(Task):
    """A task that is to be planned and nothing more."""


class DraftAnswer(PlanPreview):
    """A checked plan; without steps where there is none, and `error` says why."""


router = APIRouter(route_class=StrictRoute, tags=["approval"])

_CAUSES = (*WITH_BODY, RunNotFound, NotWaiting, NotAccepting, StorageUnavailable)


@router.post(
    "/runs/{run_id}/approve",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "Approved; the run goes on."),
        **problems(*_CAUSES, PlanUnfit),
    },
)
async def approve_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    body: ApproveCreate | None = None,
) -> Response:
    """Execute the plan of a waiting run, or an edited plan instead.

    The decision is on disk before it is carried out, and there is one for a run: a second one is
    answered with a 409.
    """
    plan, check = (body.plain_plan(), body.check) if body else (None, False)
    return run_answer(
        await runs.approve(run_id, by=named(owner), owner=owner, plan=plan, check=check)
    )


@router.post(
    "/runs/{run_id}/reject",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "Rejected: cancelled, with nothing more done."),
        **problems(*_CAUSES),
    },
)
async def reject_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    body: RejectCreate | None = None,
) -> Response:
    """Settle a waiting run as cancelled, with nothing more done; its `error.type` is `rejected`."""
    reason = body.reason if body else None
    rejected = await runs.reject(run_id, by=named(owner), owner=owner, reason=reason)
    return run_answer(rejected)


@router.post(
    "/runs/{run_id}/resolve",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "Decided; the run goes on, or fails."),
        **problems(
            *WITH_BODY, AnswerUnfit, RunNotFound, NotInDoubt, NotAccepting, StorageUnavailable
        ),
    },
)
async def resolve_run(run_id: str, runs: RunsDep, owner: OwnerDep, body: ResolveCreate) -> Response:
    """Say what became of a step that may have acted, with which a run waits.

    The decision is on disk before it is carried out, and there is one for each time that it is
    asked: a second one is answered with a 409.
    """
    return run_answer(
        await runs.resolve(run_id, body.decided, body.output, by=named(owner), owner=owner)
    )


@router.post(
    "/plan",
    response_class=JSONResponse,
    responses={
        200: answered(DraftAnswer, "Planned, or the reason why there is no plan."),
        **problems(
            *WITH_BODY,
            PromptRejected,
            ChoiceRejected,
            TooManyPosts,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def make_plan(
    body: DraftCreate, request: Request, runs: RunsDep, owner: OwnerDep
) -> Response:
    """A checked plan without a run: nothing is executed, or stored but what it cost.

    It is made as a run's would be: where models are configured they are asked, and their calls
    cost what they cost.
    """
    planning = runs.preview(
        body.prompt, owner=owner, budget=body.plain_budget(), options=body.options()
    )
    preview = await unless_gone(request.receive, planning)
    return json_answer(preview, DraftAnswer) if preview is not None else Response()  # to nobody


# Retrying a run, and what the end of its wait answers.


StepNumber = Annotated[int, Field(ge=1, le=10**6), BeforeValidator(whole)]


class RetryCreate(Body):
    """How a run is to go on; what is left out is as it was."""

    from_step: StepNumber | None = Field(
        None,
        description="The step to begin with: the one at which the run stopped, which is the "
        "default, or an earlier one. Finished steps before it are not executed again.",
    )
    input: dict[str, Any] | None = Field(
        None, description="Another input for that step, checked as a plan is."
    )
    skip: list[StepNumber] | None = Field(
        None,
        description="The steps to leave out; by default those that were left out before.",
    )
    replan: bool = Field(
        False,
        description="Whether a model is to plan anew: instead of all that is left, or, with "
        "`from_step`, instead of the rounds after that step's, once that one is executed again. "
        "Where a step that is dropped may have changed something, a person is asked first.",
    )

    def plain_request(self) -> RetryRequest:
        """The request as runs take it."""
        skip = None if self.skip is None else tuple(self.skip)
        return RetryRequest(self.from_step, self.input, skip, self.replan)


class RetryNowCreate(Body):
    """Nothing: the end of a wait takes no options."""


class RetriedNow(TypedDict):
    """A run whose next attempt is not waited for any more."""

    run_id: Annotated[str, doc("The id of the run.")]
    status: Annotated[Status, doc("`running`.")]
    step: Annotated[int | None, doc("The step that is attempted; null while it is planned.")]
    attempt: Annotated[int | None, doc("Which attempt at it, counted from 1.")]
    due_at: Annotated[Time | None, doc("When it would have been made; null in planning.")]


def present_retried_now(record: Record) -> RetriedNow:
    """The answer to the end of a wait."""
    current, attempts = record["current"], record["execution_log"]
    return RetriedNow(
        run_id=record["run_id"],
        status=record["status"],
        step=current and current["step"],
        attempt=current and current["attempt"],
        due_at=attempts[-1]["retry_at"] if current and attempts else None,
    )


retries = APIRouter(route_class=StrictRoute, tags=["runs"])


@retries.post(
    "/runs/{run_id}/retry",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "It goes on; the order to do so is on disk."),
        **problems(
            *WITH_BODY,
            RetryRejected,
            RunNotFound,
            NotRetryable,
            NotPlanned,
            *NEW_RUN,
            RunUsedUp,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def retry_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    body: RetryCreate | None = None,
    max_value_bytes: MaxValueBytes = None,
) -> Response:
    """Let a failed or cancelled run go on, from the step at which it stopped or an earlier one.

    A step can be given another input, and steps can be left out. A run that has no plan is planned
    again, and with `replan` a model plans anew what is left.
    """
    request = body.plain_request() if body else RetryRequest()
    return run_answer(
        await runs.retry(run_id, request, by=named(owner), owner=owner), max_value_bytes
    )


@retries.post(
    "/runs/{run_id}/retry-now",
    response_class=JSONResponse,
    responses={
        200: answered(RetriedNow, "It waits no more."),
        **problems(*WITH_BODY, RunNotFound, NoBackoff, StorageUnavailable),
    },
)
async def retry_run_now(
    run_id: str, runs: RunsDep, owner: OwnerDep, body: RetryNowCreate | None = None
) -> Response:
    """Make the attempt at once that a run waits for. It takes no body."""
    return json_answer(present_retried_now(await runs.retry_now(run_id, owner=owner)), RetriedNow)
