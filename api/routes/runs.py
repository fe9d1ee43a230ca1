"""`Idempotency-Key`: posting a task again without running it again."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from api.errors.problems import OutputNotFound
from api.operations import (
    LOCATION,
    MOST,
    NEW_RUN,
    WITH_BODY,
    MaxValueBytes,
    OwnerDep,
    RunsDep,
    StrictRoute,
    named,
    problems,
)
from api.routes.lists import RunList, RunQuery, RunSearch
from api.schemas import CancelCreate, RunCreate, RunCreated
from api.views import (
    ExplanationAnswer,
    RunAnswer,
    answered,
    encoded_run,
    encoded_run_answer,
    json_answer,
    run_answer,
)
from graph.commands.threads import NotSettled
from graph.queue.executor import NotAccepting
from graph.record.record import Record
from graph.runs.accept import AlreadyAccepted, ChoiceRejected, KeyReused
from graph.runs.cancellation import CUT_OFF, AlreadySettled
from graph.runs.context import RunNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected, Runs
from graph.state import Attempt, Status
from graph.state.row import IdempotencyKey
from graph.state.wording import Time, doc
from graph.storage.search import InvalidCursor, SearchTooLarge
from graph.storage.storage import StorageUnavailable

#: Longest key, in characters.
LONGEST_KEY = 200

_KEY = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")

#: The headers of an answer that tells of a run that was posted.
POSTED = LOCATION | {
    "Idempotency-Replayed": {
        "description": "`true` where the task had been accepted before, with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def _checked(given: str | None) -> str | None:
    if given is None or _KEY.fullmatch(given):
        return given
    raise PydanticCustomError(
        "idempotency_key",
        "must have 1 to {most} characters of visible ASCII, such as a UUID",
        {"most": LONGEST_KEY},
    )


IdempotencyKeyHeader = Annotated[
    str | None,
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "pattern": f"^{_KEY.pattern}$"}),
    Header(
        description="Names this request: sent again within 24 hours with the same body, it makes "
        "no second run but is answered with the first one. A UUID will do."
    ),
]


@dataclass(frozen=True)
class Posted:
    """A task that was accepted now, as `record`, or before."""

    run_id: str
    record: Record | None = None
    headers: dict[str, str] = field(default_factory=dict)


async def post_run(
    runs: Runs, body: RunCreate, name: str | None, *, owner: str, by: str | None = None
) -> Posted:
    """Accept a task, unless it was accepted before under this key.

    Raises what `Runs.start` raises, but `AlreadyAccepted`.
    """
    key = IdempotencyKey(name=name, fingerprint=_fingerprint(body)) if name is not None else None
    try:
        record = await runs.start(
            body.prompt,
            owner=owner,
            budget=body.plain_budget(),
            approve=body.approve,
            options=body.options(),
            key=key,
            max_rounds=body.max_rounds,
            mend=body.mend,
            thread_id=body.thread_id,
            thread_name=body.thread_name,
            by=by,
        )
    except AlreadyAccepted as before:
        headers = {"Location": f"/runs/{before.run_id}", "Idempotency-Replayed": "true"}
        return Posted(before.run_id, headers=headers)
    return Posted(record["run_id"], record, {"Location": f"/runs/{record['run_id']}"})


def _fingerprint(body: RunCreate) -> str:
    """The same for bodies that mean the same, also when later versions know further fields."""
    meant: dict[str, Any] = body.model_dump(exclude_defaults=True)
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


# What a cancellation answers: what was done, and what was not.


class StepDone(TypedDict):
    """A step whose effect stays."""

    step: Annotated[int, doc("Its place in the plan, counted from 1.")]
    tool: Annotated[str, doc("The tool that it called.")]


class StepNotDone(TypedDict):
    """A step that did not come to its end."""

    step: Annotated[int, doc("Its place in the plan, counted from 1.")]
    tool: Annotated[str, doc("The tool that it calls.")]
    may_have_acted: Annotated[
        bool, doc("Whether an attempt that did not succeed may have changed something.")
    ]


class InFlight(TypedDict):
    """The attempt that was cut off."""

    step: Annotated[int, doc("The step of the plan.")]
    tool: Annotated[str, doc("The tool that was called.")]
    attempt: Annotated[int, doc("Which attempt at the step, counted from 1.")]
    may_have_acted: Annotated[bool, doc("Whether it may have changed something by then.")]
    thread_running: Annotated[
        bool, doc("Whether its tool could not be stopped and may have gone on.")
    ]


class Cancelled(TypedDict):
    """A cancelled run; asked again, the answer is the same."""

    run_id: Annotated[str, doc("The id of the run.")]
    status: Annotated[Status, doc("`cancelled`.")]
    cancelled_at: Annotated[Time, doc("When it was settled.")]
    message: Annotated[str, doc("What was done and what was not, in words.")]
    done: Annotated[list[StepDone], doc("The steps that were completed.")]
    in_flight: Annotated[InFlight | None, doc("The attempt that was cut off, if one was.")]
    not_done: Annotated[
        list[StepNotDone], doc("The other steps of the plan, the one in flight among them.")
    ]


def present_cancelled(record: Record) -> dict[str, Any]:
    """The answer to the cancellation of a run, as `Cancelled` documents it."""
    attempts = record["execution_log"]
    ended = {attempt["step"] for attempt in attempts if attempt["status"] == "ok"}
    ended |= {mark["step"] for mark in record["marks"] if mark.get("as") == "done"}
    acted = {attempt["step"] for attempt in attempts if attempt["may_have_acted"]}
    steps = [{**step, "may_have_acted": step["step"] in acted} for step in record["plan"]["steps"]]
    cut_off: list[Any] = [one for one in attempts[-1:] if _is_cut_off(one)]
    return {
        "run_id": record["run_id"],
        "status": record["status"],
        "cancelled_at": record["completed_at"],
        "message": record["error"]["message"] if record["error"] else "cancelled",
        "done": [step for step in steps if step["step"] in ended],
        "in_flight": next(
            ({name: one[name] for name in InFlight.__annotations__} for one in cut_off), None
        ),
        "not_done": [step for step in steps if step["step"] not in ended],
    }


def _is_cut_off(attempt: Attempt) -> bool:
    """Whether the cancellation found an attempt in flight."""
    error = attempt["error"]
    cut_off = attempt["status"] == "in_doubt" and error is not None and error["type"] == CUT_OFF
    return cut_off or attempt["status"] == "cancelled"


router = APIRouter(route_class=StrictRoute, tags=["runs"])


@router.post(
    "/runs",
    status_code=201,
    response_class=JSONResponse,
    responses={
        201: {"model": RunCreated, "description": "Accepted and on disk.", "headers": POSTED},
        **problems(
            *WITH_BODY,
            PromptRejected,
            ChoiceRejected,
            ThreadNotFound,
            KeyReused,
            *NEW_RUN,
            NotAccepting,
            StorageUnavailable,
        ),
    },
)
async def create_run(
    body: RunCreate,
    runs: RunsDep,
    owner: OwnerDep,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Accept a task. It is planned and executed after the answer; read the run to follow it."""
    posted = await post_run(runs, body, idempotency_key, owner=owner, by=named(owner))
    # The first answer again: a run that is just accepted is pending.
    status = posted.record["status"] if posted.record else "pending"
    return json_answer({"run_id": posted.run_id, "status": status}, None, 201, posted.headers)


@router.get(
    "/runs/{run_id}",
    response_class=JSONResponse,
    responses={
        200: answered(RunAnswer, "The record."),
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def read_run(
    run_id: str, runs: RunsDep, owner: OwnerDep, max_value_bytes: MaxValueBytes = None
) -> Response:
    """The complete record of a run: plan, attempts, waits, errors, usage and result."""
    settled = runs.settled.find(run_id, owner) if max_value_bytes is None else None
    if settled and settled.encoded:
        return encoded_run_answer(settled.encoded)
    record = await runs.get(run_id, owner=owner)
    if settled is None:
        return run_answer(record, max_value_bytes)
    encoded = encoded_run(record)
    runs.settled.encode(settled, encoded)
    return encoded_run_answer(encoded)


@router.get(
    "/runs",
    response_class=JSONResponse,
    responses={
        200: answered(RunList, "A page of runs."),
        **problems(InvalidCursor, SearchTooLarge, StorageUnavailable),
    },
)
async def list_runs(
    runs: RunsDep, owner: OwnerDep, asked: Annotated[RunQuery, Query()]
) -> Response:
    """Runs by filters; without any of them the newest 50, newest first."""
    page = await runs.search(owner, asked.plain_search(), asked.cursor)
    return json_answer(page, RunList)


@router.post(
    "/runs/search",
    response_class=JSONResponse,
    responses={
        200: answered(RunList, "A page of runs."),
        **problems(*WITH_BODY, InvalidCursor, SearchTooLarge, StorageUnavailable),
    },
)
async def search_runs(body: RunSearch, runs: RunsDep, owner: OwnerDep) -> Response:
    """Runs by filters, all of which have to hold; what is left out does not matter."""
    page = await runs.search(owner, body.plain_search(), body.cursor)
    return json_answer(page, RunList)


#: Kinds of bytes that are told as what they are; in none of them is anything that runs.
SHOWN = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "audio/mpeg", "audio/wav", "audio/ogg"}
)

UNTRUSTED = {
    "content-security-policy": "sandbox; default-src 'none'",
    "content-disposition": "attachment",
    "x-content-type-options": "nosniff",
}


@router.get(
    "/runs/{run_id}/log/{n}/output",
    response_class=JSONResponse,
    responses={
        200: {
            "description": "The output, whatever JSON it is; null of an attempt that failed.",
            "content": {"application/octet-stream": {}},
        },
        **problems(RunNotFound, OutputNotFound, StorageUnavailable),
    },
)
async def read_output(
    run_id: str,
    n: Annotated[
        int, Path(ge=1, le=MOST, description="The attempt's place in `execution_log`, from 1.")
    ],
    runs: RunsDep,
    owner: OwnerDep,
    blob: Annotated[
        str | None,
        Query(
            pattern="^[0-9a-f]{64}$",
            description="The SHA-256 of bytes that the output names and says to be `kept`.",
        ),
    ] = None,
) -> Response:
    """The whole output of one attempt, however large; with `blob` bytes that came with it."""
    attempts = (await runs.get(run_id, owner=owner))["execution_log"]
    if n > len(attempts):
        raise OutputNotFound(n, len(attempts))
    if blob is None:
        return json_answer(attempts[n - 1]["output"])
    if (found := await runs.blob(run_id, n, blob, owner=owner)) is None:
        raise OutputNotFound(n, len(attempts), blob)
    # What its source says of its kind is not believed where a browser would run it.
    kind = found.mime if found.mime in SHOWN else "application/octet-stream"
    return Response(found.data, media_type=kind, headers=UNTRUSTED)


@router.post(
    "/runs/{run_id}/cancel",
    response_class=JSONResponse,
    responses={
        200: answered(Cancelled, "Cancelled, now or before."),
        **problems(*WITH_BODY, RunNotFound, AlreadySettled, NotAccepting, StorageUnavailable),
    },
)
async def cancel_run(
    run_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    body: CancelCreate | None = None,
) -> Response:
    """Cancel a run wherever it is. What was done stays done; the answer tells what that is.

    It takes no body. Once answered, nothing of the run is executed any more; asked again, it
    answers the same.
    """
    return json_answer(
        present_cancelled(await runs.cancel(run_id, by=named(owner), owner=owner)), Cancelled
    )


# Explaining runs that are kept, and removing them.


@router.get(
    "/runs/{run_id}/explain",
    response_class=JSONResponse,
    responses={
        200: answered(ExplanationAnswer, "The explanation."),
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def explain_run(run_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """Where the time of a run went and why it ended as it did, in data and in three sentences."""
    return json_answer(await runs.explain(run_id, owner=owner), ExplanationAnswer)


@router.delete(
    "/runs/{run_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "It is gone, with everything that was kept of its content."},
        **problems(*WITH_BODY, RunNotFound, NotSettled, StorageUnavailable),
    },
)
async def remove_run(run_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """Remove a settled run for good: record, events and log. What it did, as to-dos, stays.

    Who did what with it is kept at `GET /audit` for a time: its id, times and names, no content.
    """
    await runs.remove(run_id, owner=owner, by=named(owner))
    return Response(status_code=204)
