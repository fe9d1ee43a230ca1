"""Retrying runs: what goes in, and what the end of a wait answers."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from api.openapi import NEW_RUN, WITH_BODY, problems
from api.parameters import MaxValueBytes, OwnerDep, RunsDep, StrictRoute, named
from api.schemas import Body, whole
from api.views import RunAnswer, answered, json_answer, run_answer
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected, RetryRequest
from graph.queue.executor import NotAccepting
from graph.queue.fair import RunUsedUp
from graph.record.record import Record
from graph.runs.context import RunNotFound
from graph.state import Status
from graph.state.wording import Time, doc
from graph.storage.storage import StorageUnavailable

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


router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.post(
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


@router.post(
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
