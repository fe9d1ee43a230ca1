"""Every error that leaves the server: one table, exception to kind of problem, and the answers."""

import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException as RoutingError
from starlette.requests import ClientDisconnect

from api.errors.kinds import (
    MEDIA_TYPE,
    PROTOCOL,
    REFUSALS,
    REQUESTS,
    RETRY_AFTER,
    Cause,
    FieldError,
    Kind,
    retry_after,
)
from api.streams import EventNotFound
from graph.commands.approval import NotInDoubt, NotWaiting
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected
from graph.commands.seeded import ForkRejected, ToolNotFound
from graph.commands.threads import NotSettled, ThreadNotSettled
from graph.queue.executor import NotAccepting
from graph.runs.accept import ChoiceRejected, KeyReused
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound, NotReplayable
from graph.runs.replay import LiveRejected
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected
from graph.storage.records import NameTaken
from graph.storage.search import InvalidCursor, SearchTooLarge
from graph.storage.storage import StorageUnavailable
from nodes.approval.questions import AnswerUnfit, PlanUnfit


class OutputNotFound(Exception):
    """The log of the run has no `n`-th attempt, but `attempts`, or its output no such `blob`."""

    def __init__(self, n: int, attempts: int, blob: str | None = None) -> None:
        super().__init__(
            f"The execution_log of the run has {attempts} attempts so far, counted from 1; "
            f"there is no {n}."
            if blob is None
            else f"Attempt {n} has kept no bytes with the SHA-256 {blob}; its output names them."
        )


#: What may have been stored although it could not be told, by the end of its path.
_MAY_BE_STORED = {
    "cancel": "Whether it was cancelled is not known.",
    "retry": "Whether it goes on is not known.",
    "approve": "Whether it was approved is not known.",
    "reject": "Whether it was rejected is not known.",
    "resolve": "Whether it was resolved is not known.",
}


def _storage_detail(error: StorageUnavailable, request: Request) -> str:
    # What was stored is carried out once the storage answers.
    act = request.url.path.rpartition("/")[2]
    stored = _MAY_BE_STORED.get(act, "Nothing was read or accepted.")
    if error.damage:
        return f"{stored} The storage is {error.damage}."
    return f"{stored} Try again; /health tells when it answers."


def _reasons(error: Any) -> list[FieldError]:
    return [FieldError(field=error.field, message=reason) for reason in error.reasons]


#: All of them.
PROBLEMS: Mapping[Cause, Kind] = {
    PromptRejected: Kind(
        400,
        "prompt-rejected",
        "The prompt is not accepted",
        lambda e, _: str(e),
        errors=lambda e: [FieldError(field="prompt", message=str(e))],
    ),
    ChoiceRejected: Kind(
        400,
        "choice-rejected",
        "The run cannot be planned with this",
        lambda e, _: f"{e.field}: {e}.",
        errors=_reasons,
    ),
    InvalidCursor: Kind(
        400,
        "invalid-cursor",
        "The cursor is none of this search",
        lambda *_: (
            "A cursor is the next_cursor of the page before, and goes on with the same filters "
            "and order only. Leave it out to begin with the first page."
        ),
        errors=lambda _: [FieldError(field="cursor", message="is none of this search")],
    ),
    SearchTooLarge: Kind(
        400,
        "search-too-large",
        "Too many runs would have to be sorted",
        lambda e, _: (
            f"More runs have these words than are looked through to sort them by {e.sort}. Sort "
            "by time, which goes on page by page, or look for rarer words."
        ),
        errors=lambda e: [FieldError(field="sort", message=str(e))],
    ),
    PlanUnfit: Kind(
        400,
        "plan-unfit",
        "The plan cannot be executed",
        lambda e, _: f"{e}. The run waits as before.",
        errors=lambda e: [FieldError(field="plan", message=reason) for reason in e.reasons],
    ),
    AnswerUnfit: Kind(
        400,
        "answer-unfit",
        "The step cannot be resolved in this way",
        lambda e, _: f"{e}. The run waits as before.",
        errors=_reasons,
    ),
    RetryRejected: Kind(
        400,
        "retry-rejected",
        "The run cannot be retried in this way",
        lambda e, _: f"{e}.",
        errors=_reasons,
    ),
    ForkRejected: Kind(
        400,
        "fork-rejected",
        "The run cannot be forked in this way",
        lambda e, _: f"{e}.",
        errors=_reasons,
    ),
    LiveRejected: Kind(
        400,
        "live-rejected",
        "The run cannot be replayed with this tool",
        lambda e, _: f"{e}.",
        errors=_reasons,
    ),
    RunNotFound: Kind(
        404,
        "run-not-found",
        "There is no such run",
        lambda e, _: (
            f"No run has the id {e.run_id[:100]!r}. An id is the run_id that POST /runs answered; "
            "GET /runs lists the newest."
        ),
    ),
    CheckpointNotFound: Kind(
        404,
        "checkpoint-not-found",
        "The run has no such checkpoint",
        lambda e, _: (
            f"The run has no checkpoint {e.checkpoint_id[:100]!r}. "
            f"GET /runs/{e.run_id}/history lists those that it has."
        ),
    ),
    EventNotFound: Kind(
        404,
        "event-not-found",
        "The run has no such event",
        lambda e, _: (
            f"Event {e.number} cannot be gone on from: the run has {e.last} so far. "
            "Ask for what comes after 0 to begin with the first."
        ),
    ),
    ToolNotFound: Kind(
        404,
        "tool-not-found",
        "There is no such tool",
        lambda e, _: f"{str(e)[:1].upper()}{str(e)[1:]}.",
    ),
    OutputNotFound: Kind(
        404,
        "output-not-found",
        "The run has no such output",
        lambda e, _: str(e),
    ),
    AlreadySettled: Kind(
        409,
        "already-settled",
        "The run has ended already",
        lambda e, _: f"The run is {e.status}; {e.rule}. GET /runs/{e.run_id} tells how it went.",
    ),
    KeyReused: Kind(
        409,
        "key-reused",
        "The key stands for another request",
        lambda e, _: (
            f"The Idempotency-Key {e.name!r} was sent with another body, which made the run "
            f"{e.run_id}. Send that body again to get its answer, or a new key with this one."
        ),
    ),
    NotSettled: Kind(
        409,
        "not-settled",
        "The run has not ended",
        lambda e, _: f"The run is {e.status}; {e.rule}. POST /runs/{e.run_id}/cancel ends it.",
    ),
    NotWaiting: Kind(
        409,
        "not-waiting",
        "There is nothing to be decided",
        lambda e, _: (
            f"The run waits with a step in doubt; POST /runs/{e.run_id}/resolve decides about it."
            if e.in_doubt
            else f"The run is {e.status}; {e.rule}. GET /runs/{e.run_id} tells its marks."
            if e.status != "waiting"
            else "Somebody else has decided about the plan of this run, or cancelled the run, "
            f"just now; GET /runs/{e.run_id} tells its marks."
        ),
    ),
    NotInDoubt: Kind(
        409,
        "not-in-doubt",
        "There is no step to be resolved",
        lambda e, _: (
            f"The run is {e.status}; {e.rule}. GET /runs/{e.run_id} tells its marks."
            if not e.decided
            else "Somebody else has decided about the step of this run, or cancelled the run, just "
            f"now; GET /runs/{e.run_id} tells its marks."
        ),
    ),
    NotRetryable: Kind(
        409,
        "not-retryable",
        "The run cannot be retried now",
        lambda e, _: (
            f"The run is {e.status}; {e.rule}. GET /runs/{e.run_id} tells where it stands."
        ),
    ),
    NotReplayable: Kind(
        409,
        "not-replayable",
        "The run cannot be replayed now",
        lambda e, _: (
            f"The run is {e.status}; {e.rule}. GET /runs/{e.run_id}/wait answers when it has."
        ),
    ),
    NotPlanned: Kind(
        409,
        "not-planned",
        "The run has no plan",
        lambda e, _: f"The run has no plan, so that it is planned again; leave {e.field} out.",
    ),
    NoBackoff: Kind(
        409,
        "no-backoff",
        "The run does not wait for an attempt",
        lambda e, _: (
            f"The run is {e.status}; {e.rule}, while `current.not_before` is in the future."
        ),
    ),
    NotAccepting: Kind(
        503,
        "not-accepting",
        "The server is stopping",
        lambda *_: "No new runs are taken. Accepted ones go on at the next start; post again then.",
        headers=lambda *_: retry_after(RETRY_AFTER),
    ),
    StorageUnavailable: Kind(
        503,
        "storage-unavailable",
        "The storage does not answer",
        _storage_detail,
        headers=lambda *_: retry_after(RETRY_AFTER),
    ),
    ThreadNotFound: Kind(
        404,
        "thread-not-found",
        "There is no such thread",
        lambda e, _: (
            f"No thread has the id {e.thread_id[:100]!r}. A thread has the id of its first run; "
            "GET /threads lists those that there are."
        ),
    ),
    NameTaken: Kind(
        409,
        "thread-name-taken",
        "Another thread has this name",
        lambda e, _: f"Another of your threads is named {e.name!r}; choose another name.",
        errors=lambda e: [FieldError(field="name", message="is that of another thread")],
    ),
    ThreadNotSettled: Kind(
        409,
        "thread-not-settled",
        "A run of the thread has not ended",
        lambda e, _: (
            f"Run {e.run_id} of the thread is {e.status}, so that nothing of it was removed; wait "
            f"for its end, or cancel it with POST /runs/{e.run_id}/cancel."
        ),
    ),
    **REQUESTS,
    **REFUSALS,
    **PROTOCOL,
    Exception: Kind(
        500,
        "internal",
        "Something failed inside the server",
        lambda *_: "The fault is ours. The server's log explains it under the id in `instance`.",
    ),
}


# How one is answered: as application/problem+json.


logger = logging.getLogger("runwright.http")

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


async def respond(request: Request, error: Exception) -> Response:
    """The answer to `error`."""
    kind, body = problem(request, error)
    return JSONResponse(body, kind.status, kind.headers(error, request), MEDIA_TYPE)


async def leave_unanswered(_request: Request, _error: ClientDisconnect) -> Response:
    """What ends a request whose client has gone before all of it was here; nobody reads it."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def problem(request: Request, error: Exception) -> tuple[Kind, dict[str, Any]]:
    """What is told of `error`; one that is nobody's request's fault is logged under a new id."""
    kind = _kind_of(error)
    body = _body(kind, kind.detail(error, request))
    if errors := kind.errors(error):
        body["errors"] = errors
    if kind.status == 500:
        error_id = uuid.uuid4()
        body["instance"] = error_id.urn
        logger.error(
            "%s %s failed, error id %s", request.method, request.url.path, error_id, exc_info=error
        )
    return kind, body


def encoded(error: Exception) -> bytes:
    """The whole answer to what is no request yet, after which the connection is closed.

    `error` is of a kind whose detail is told without a request.
    """
    kind = _kind_of(error)
    nothing: Any = None
    body = to_json(_body(kind, kind.detail(error, nothing)))
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        **kind.headers(error, nothing),
    }
    lines = [f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _body(kind: Kind, detail: str) -> dict[str, Any]:
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}


#: For Starlette's `ExceptionMiddleware` and `FastAPI(exception_handlers=...)`. Routing errors are
#: named, or both would answer those whose status the table does not have with text of their own.
HANDLERS: dict[Cause, Handler] = {
    **dict.fromkeys([*PROBLEMS, RoutingError], respond),
    ClientDisconnect: leave_unanswered,  # no fault of ours to be logged
}


def _kind_of(error: Exception) -> Kind:
    if isinstance(error, RoutingError) and error.status_code in PROBLEMS:
        return PROBLEMS[error.status_code]
    return next(PROBLEMS[cause] for cause in type(error).__mro__ if cause in PROBLEMS)
