"""The API's description of itself: which problems each route may answer with."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from api.errors.kinds import MEDIA_TYPE, Cause, Kind
from api.errors.problems import PROBLEMS
from api.middleware.access import HostRefused, KeyRefused, NotJson, OriginRefused, is_open
from api.middleware.guards import BodyCutOff, BodyTooLarge
from api.schemas import Problem
from api.views import Heartbeat, RunEvent
from graph.queue.executor import QueueFull
from graph.queue.fair import NoRoom, TooManyPosts
from graph.record.events import EVENT_TYPES
from graph.runs.watch import AnswerDelta, RunChanged, StepProgress

#: What any route may answer with: it takes no parameters but those that it names.
ALWAYS: tuple[Cause, ...] = (RequestValidationError, KeyRefused, HostRefused, Exception)

#: What any route that takes a body may answer with besides.
WITH_BODY: tuple[Cause, ...] = (400, OriginRefused, BodyTooLarge, NotJson, BodyCutOff)

#: What stands in the way of one more run.
NEW_RUN: tuple[Cause, ...] = (TooManyPosts, QueueFull, NoRoom)

#: The headers of an answer that tells of a new run.
LOCATION = {"Location": {"description": "Where to read the run.", "schema": {"type": "string"}}}

#: How a key is sent to a server that has keys.
KEYS: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Where both headers come with one request, this one counts, also where its "
        "key is wrong; of several of one name the first.",
    },
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "Looked at only where there is no `Authorization: Bearer`.",
    },
}

_SCHEMAS = "#/components/schemas/"

#: What no route answers as JSON.
_MODELS: tuple[type, ...] = (
    Problem,
    RunEvent,
    StepProgress,
    AnswerDelta,
    RunChanged,
    Heartbeat,
)


def problems(*causes: Cause) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers these causes with a problem, and those of any."""
    kinds: dict[int | str, list[Kind]] = {}
    for kind in (PROBLEMS[cause] for cause in (*causes, *ALWAYS)):
        kinds.setdefault(kind.status, []).append(kind)
    return {status: _response((*found,)) for status, found in kinds.items()}


def run_events(description: str) -> dict[str, Any]:
    """The answer of a route that streams the events of one run."""
    events = _message(EVENT_TYPES, RunEvent, numbered=True)
    progress = _message(["step.progress"], StepProgress)
    return _stream(description, events, progress, _message(["answer.delta"], AnswerDelta))


def changes(description: str) -> dict[str, Any]:
    """The answer of a route that streams which runs change."""
    return _stream(description, _message(["run.changed"], RunChanged))


def description_of(app: FastAPI, *, keys: bool) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is replaced with: the document with problems as errors, made once.

    `keys`: whether calls need one.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
            # Told without keys as well: a client that is made from this may be given one later.
            app.openapi_schema["components"]["securitySchemes"] = KEYS
            if keys:
                app.openapi_schema |= {"security": [{name: []} for name in KEYS]}
        return app.openapi_schema

    return openapi


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    # FastAPI describes invalid input as a 422 of its own; here it is a 400 like any other.
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            # As in an address: what is optional is left out, not null.
            for described in operation.get("requestBody", {}).get("content", {}).values():
                forms = described["schema"].get("anyOf", ())
                if {"type": "null"} in forms:
                    [described["schema"]] = [form for form in forms if form != {"type": "null"}]
            if is_open(path):
                operation["security"] = []
                operation["responses"].pop("401", None)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in _MODELS:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        schema = adapter.json_schema(ref_template=f"{_SCHEMAS}{{model}}", mode="serialization")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    return document


@cache  # most routes have the same ones
def _response(kinds: tuple[Kind, ...]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "\n".join(f"- `{kind.type}`: {kind.title}" for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }
    if kinds[0].status in (429, 503):
        response["headers"] = {
            "Retry-After": {
                "description": "When to ask again, in seconds.",
                "schema": {"type": "integer"},
            }
        }
    return response


def _stream(description: str, *messages: dict[str, Any]) -> dict[str, Any]:
    due = _message(["heartbeat"], Heartbeat)
    # OpenAPI 3.2 has `itemSchema` for the events of a stream; 3.1 has nothing for them.
    described = {"x-itemSchema": {"oneOf": [*messages, due]}}
    return {"description": description, "content": {"text/event-stream": described}}


def _message(kinds: Sequence[str], model: type, *, numbered: bool = False) -> Any:
    """One server-sent event: its fields, and the JSON in its `data`."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"{_SCHEMAS}{model.__name__}"},
    }
    fields = {"event": {"type": "string", "enum": list(kinds)}, "data": data}
    number = {"id": {"type": "string", "pattern": "^[1-9][0-9]*$"}} if numbered else {}
    return {"type": "object", "required": [*fields, *number], "properties": fields | number}
