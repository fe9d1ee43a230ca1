"""Answering errors as application/problem+json, by the table of problems."""

import logging
import uuid
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException as RoutingError
from starlette.requests import ClientDisconnect

from api.errors.kinds import MEDIA_TYPE, Cause, Kind
from api.errors.problems import PROBLEMS

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
