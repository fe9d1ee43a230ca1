"""Every error that leaves the server, in one table: exception to kind of problem."""

from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.routing import Match

from api.errors.kinds import (
    PROTOCOL,
    REFUSALS,
    RETRY_AFTER,
    Cause,
    FieldError,
    Kind,
    field_errors,
    retry_after,
)
from api.middleware.guards import BodyCutOff
from api.streams import EventNotFound
from graph.commands.approval import NotInDoubt, NotWaiting
from graph.commands.call import ToolNotFound
from graph.commands.deletion import NotSettled, ThreadNotSettled
from graph.commands.dry_runs import NotReplayable
from graph.commands.fork import ForkRejected
from graph.commands.retry import NoBackoff, NotPlanned, NotRetryable, RetryRejected
from graph.queue.executor import NotAccepting
from graph.runs.accept import ChoiceRejected, KeyReused
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.runs.history import CheckpointNotFound
from graph.runs.replay import LiveRejected
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected
from graph.storage.search import InvalidCursor, SearchTooLarge
from graph.storage.storage import StorageUnavailable
from graph.storage.threads import NameTaken
from nodes.approval.edited_plan import PlanUnfit
from nodes.approval.in_doubt import AnswerUnfit


class NotReady(Exception):
    """The server is up but should get no traffic now; the message says why."""


class McpMissing(Exception):
    """What an MCP server needs is not installed."""


class OutputNotFound(Exception):
    """The log of the run has no `n`-th attempt, but `attempts`, or its output no such `blob`."""

    def __init__(self, n: int, attempts: int, blob: str | None = None) -> None:
        super().__init__(
            f"The execution_log of the run has {attempts} attempts so far, counted from 1; "
            f"there is no {n}."
            if blob is None
            else f"Attempt {n} has kept no bytes with the SHA-256 {blob}; its output names them."
        )


def _allow(_: HTTPException, request: Request) -> dict[str, str]:
    # Starlette names the methods of the first route of a path only, and none of what is mounted,
    # which is static here. A mount also changes the root path that routes are matched below.
    root = request.scope.get("app_root_path", "")
    scope = {**request.scope, "root_path": root, "path_params": {}}
    matches = [(route, *route.matches(scope)) for route in request.app.routes]
    routes = [(route, found) for route, match, found in matches if match is not Match.NONE]
    # `/runs/wait` is not the run with the id `wait`.
    exact = [route for route, found in routes if not found.get("path_params")]
    methods = {
        method
        for route in exact or [route for route, _ in routes]
        for method in getattr(route, "methods", ("GET",))
    }
    return {"Allow": ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))}


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


def _named(errors: list[FieldError]) -> str:
    return "; ".join(f"{error['field']}: {error['message']}" for error in errors)


def _reasons(error: Any) -> list[FieldError]:
    return [FieldError(field=error.field, message=reason) for reason in error.reasons]


PROBLEMS: Mapping[Cause, Kind] = {
    RequestValidationError: Kind(
        400,
        "invalid-request",
        "The request is not valid",
        lambda e, _: _named(field_errors(e)),
        errors=field_errors,
    ),
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
    400: Kind(
        400,
        "unreadable-body",
        "The body could not be read",
        lambda *_: "The body ended early or could not be read; send the request again.",
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
    404: Kind(
        404,
        "path-not-found",
        "There is nothing here",
        lambda _, r: f"Nothing is at {r.url.path[:100]!r}. /docs describes every path.",
    ),
    405: Kind(
        405,
        "method-not-allowed",
        "The path has no such method",
        lambda e, r: (
            f"{r.url.path[:100]!r} does not answer {r.method[:20]}, but {_allow(e, r)['Allow']}."
        ),
        headers=_allow,
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
    BodyCutOff: Kind(
        503,
        "body-cut-off",
        "The server is stopping",
        lambda *_: (
            "The server stops before the body was whole; nothing was read of it. Send the "
            "request again, all of it, when the server is back."
        ),
        headers=lambda *_: {"Connection": "close", **retry_after(RETRY_AFTER)},
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
    McpMissing: Kind(
        501,
        "mcp-missing",
        "MCP is not installed",
        lambda *_: "What MCP needs is not installed at this server; `make mcp` installs it.",
    ),
    NotReady: Kind(
        503,
        "not-ready",
        "The server is not ready",
        lambda e, _: str(e),
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
    **REFUSALS,
    **PROTOCOL,
    Exception: Kind(
        500,
        "internal",
        "Something failed inside the server",
        lambda *_: "The fault is ours. The server's log explains it under the id in `instance`.",
    ),
}
