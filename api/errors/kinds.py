"""What a kind of problem is, and the kinds that are about requests and not about runs.

A kind has a status, words, and the fields that are at fault. First come requests that cannot be
read, or lead to nothing. Refused whatever they ask for are requests by whom: no key, a foreign host
or page; and by how much: too large, too slow, too many, no room left. Last comes what LangGraph's
protocol asks for, and this server does not do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.routing import Match
from typing_extensions import TypedDict

from api.middleware.access import HostRefused, KeyRefused, NotJson, OriginRefused
from api.middleware.connections import (
    LINES,
    PART,
    PARTS,
    HeadTooLarge,
    Malformed,
    TooManyConnections,
    TooSlow,
)
from api.middleware.guards import BodyCutOff, BodyTooLarge, MetricsRefused, TooManyStreams
from graph.queue.executor import QueueFull
from graph.queue.fair import NoRoom, RunUsedUp, TooManyPosts
from graph.runs.threads import ThreadBusy


class FieldError(TypedDict):
    """One fault of a request."""

    field: Annotated[str, Field(description="The field; `body` where no single one is at fault.")]
    message: Annotated[str, Field(description="What is wrong with it, or what would be right.")]


def field_errors(error: RequestValidationError) -> list[FieldError]:
    """The faults that validation found, in the order of the request's fields."""
    return [FieldError(field=_field(fault), message=_message(fault)) for fault in error.errors()]


def _field(fault: Mapping[str, Any]) -> str:
    place, *path = fault["loc"]
    if fault["type"] == "json_invalid" or not path:
        return str(place)
    return ".".join(map(str, path))


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "json_invalid":
        return f"Input should be valid JSON: {fault['ctx']['error']}"
    return str(fault["msg"])


MEDIA_TYPE = "application/problem+json"

#: What a client waits before it asks again where the server cannot say, in seconds.
RETRY_AFTER = 1


def retry_after(seconds: float) -> dict[str, str]:
    """The header for who may come again in so many seconds."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


#: What the table is keyed by: an exception, or the status of one that routing raised.
Cause = int | type[Exception]


@dataclass(frozen=True)
class Kind:
    """How one cause is answered; the callables get the exception and the request."""

    status: int
    name: str
    title: str
    detail: Callable[[Any, Request], str]
    errors: Callable[[Any], list[FieldError]] = lambda _: []
    headers: Callable[[Any, Request], dict[str, str]] = lambda _, __: {}

    @property
    def type(self) -> str:
        """The URI that names this kind; it stays the same when the wording changes."""
        return f"urn:runwright:problem:{self.name}"


class NotReady(Exception):
    """The server is up but should get no traffic now; the message says why."""


class McpMissing(Exception):
    """What an MCP server needs is not installed."""


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


def _named(errors: list[FieldError]) -> str:
    return "; ".join(f"{error['field']}: {error['message']}" for error in errors)


#: What is answered to requests that cannot be read, or lead to nothing here or now.
REQUESTS: Mapping[Cause, Kind] = {
    RequestValidationError: Kind(
        400,
        "invalid-request",
        "The request is not valid",
        lambda e, _: _named(field_errors(e)),
        errors=field_errors,
    ),
    400: Kind(
        400,
        "unreadable-body",
        "The body could not be read",
        lambda *_: "The body ended early or could not be read; send the request again.",
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
}


#: What is answered to requests that are refused whatever they ask for.
REFUSALS: Mapping[Cause, Kind] = {
    KeyRefused: Kind(
        401,
        "key-refused",
        "A key is needed",
        lambda e, _: (
            ("The key is none of this server's." if e.given else "No key came with the request.")
            + " Send yours as `Authorization: Bearer KEY` or as `x-api-key: KEY`."
        ),
        headers=lambda *_: {"WWW-Authenticate": "Bearer"},
    ),
    MetricsRefused: Kind(
        403,
        "metrics-refused",
        "The metrics are for others",
        lambda *_: (
            "They count what all owners do. They are read on the server's machine, or by whom "
            "RUNWRIGHT_METRICS names."
        ),
    ),
    HostRefused: Kind(
        403,
        "host-refused",
        "The host is not one of ours",
        lambda e, _: (
            f"Host {e.host[:100]!r} is not answered. Use localhost, 127.0.0.1 or [::1], or add "
            "the name to RUNWRIGHT_ALLOWED_HOSTS."
        ),
    ),
    OriginRefused: Kind(
        403,
        "origin-refused",
        "Another site's page may not change anything",
        lambda e, _: (
            f"The request comes from a page of {e.origin[:100]!r}. Only pages served by this "
            "server, and clients that are no browser, may change something."
        ),
    ),
    Malformed: Kind(
        400,
        "malformed",
        "This is no HTTP",
        lambda *_: "What came is no request of HTTP/1.1; the connection is closed.",
    ),
    NotJson: Kind(
        415,
        "not-json",
        "The body is not declared as JSON",
        lambda e, _: (
            "Send the body as JSON with the header Content-Type: application/json; "
            f"it came with {repr(e.content_type[:100]) if e.content_type else 'none'}."
        ),
        headers=lambda *_: {"Accept": "application/json"},
    ),
    TooSlow: Kind(
        408,
        "too-slow",
        "The request did not come in time",
        lambda *_: "The request was begun and not ended in time; send it again as a whole.",
    ),
    BodyTooLarge: Kind(
        413,
        "body-too-large",
        "The body is too large",
        lambda e, _: f"The body may have {e.limit:,} bytes; this one has more.",
        # What is left of the body would otherwise be read as the next request.
        headers=lambda *_: {"Connection": "close"},
    ),
    HeadTooLarge: Kind(
        431,
        "head-too-large",
        "The head of the request is too large",
        lambda e, _: (
            f"The head of a request, and what stands around the parts of its body, may have"
            f" {e.limit:,} bytes, the head {LINES:,} lines, and the body {PARTS:,} parts and one"
            f" more for each {PART:,} bytes; this one has more."
        ),
    ),
    TooManyConnections: Kind(
        503,
        "too-many-connections",
        "There are too many connections",
        lambda *_: (
            "As many connections are open as may be, from this address or in all. Close some, or"
            " set RUNWRIGHT_MAX_CONNECTIONS and RUNWRIGHT_MAX_CONNECTIONS_PER_ADDRESS."
        ),
        headers=lambda *_: retry_after(RETRY_AFTER),
    ),
    TooManyStreams: Kind(
        429,
        "too-many-streams",
        "There are too many streams",
        lambda e, _: f"{e.limit:,} streams of yours are open, as many as may; close some.",
        # Who asks for so many would keep as many connections.
        headers=lambda *_: {"Connection": "close", **retry_after(RETRY_AFTER)},
    ),
    QueueFull: Kind(
        429,
        "queue-full",
        "Too many runs are waiting",
        lambda e, _: f"The queue is full. Post again in {math.ceil(e.retry_after)} s.",
        headers=lambda e, _: retry_after(e.retry_after),
    ),
    TooManyPosts: Kind(
        429,
        "too-many-posts",
        "Too much is posted in a minute",
        lambda e, _: (
            f"Of posts, previews, replays, retries and forks together, {e.limit:,} a minute are"
            f" allowed. Post again in {math.ceil(e.retry_after)} s; GET /budget tells how many are"
            " left."
        ),
        headers=lambda e, _: retry_after(e.retry_after),
    ),
    NoRoom: Kind(
        507,
        "no-room",
        "As much is kept as is allowed",
        lambda e, _: (
            f"{e.kept:,} {'runs' if e.what == 'runs' else 'bytes of runs'} of yours are kept, and "
            f"{e.limit:,} are allowed; nothing was accepted. DELETE /runs/{{run_id}} makes room."
        ),
    ),
    RunUsedUp: Kind(
        507,
        "run-used-up",
        "The run may have no more of this",
        lambda e, _: (
            f"The run has had {e.limit:,} {e.what}, as many as one may have, since each adds to "
            "its record; nothing was accepted. Post its task again."
        ),
    ),
}


class Unprocessable(Exception):
    """A request of the protocol that cannot be carried out as it is; `errors` say which part."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error['field']}: {error['message']}" for error in errors))
        self.errors = list(errors)


def unprocessable(field: str, message: str) -> Unprocessable:
    """The fault of one field."""
    return Unprocessable([FieldError(field=field, message=message)])


class Unsupported(Exception):
    """An area of the protocol that this server does not have."""


class AssistantNotFound(Exception):
    """There is one assistant, and this is neither its id nor its name."""


class ThreadExists(Exception):
    """A thread cannot be opened under an id that is taken."""


class NothingAsked(Exception):
    """An answer came for a question that the thread does not ask."""


def _text(error: Exception, _: Request) -> str:
    return str(error)


PROTOCOL: dict[Cause, Kind] = {
    Unprocessable: Kind(
        422, "unprocessable", "The request cannot be carried out", _text, errors=lambda e: e.errors
    ),
    Unsupported: Kind(
        501,
        "unsupported",
        "This server does not do that",
        lambda e, _: f"{e}; the flags of /lg/info say what there is.",
    ),
    AssistantNotFound: Kind(
        404,
        "assistant-not-found",
        "There is no such assistant",
        lambda e, _: (
            f"No assistant has the id {str(e)[:100]!r}. The one that there is, is named "
            "runwright; POST /lg/assistants/search tells its id."
        ),
    ),
    ThreadExists: Kind(
        409,
        "thread-exists",
        "The id of the thread is taken",
        lambda e, _: (
            f"{e} is taken. Give another id, or none; with if_exists do_nothing, a thread "
            "of your own is answered as it is."
        ),
    ),
    ThreadBusy: Kind(
        409,
        "thread-busy",
        "A run of the thread has not ended",
        lambda e, _: (
            f"Run {e.run_id} of the thread is {e.status}, and multitask_strategy is "
            "reject; enqueue lets the new one wait."
        ),
    ),
    NothingAsked: Kind(
        409,
        "nothing-asked",
        "The thread asks nothing that this answers",
        _text,
    ),
}
