"""What the API's operations have in common: how calls are read, and how they are described.

They are read to the letter: JSON as RFC 8259 defines it, and only known parameters. Each route is
described with the problems that it may answer with.
"""

import json
import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.errors.kinds import MEDIA_TYPE, Cause, Kind
from api.errors.problems import PROBLEMS
from api.middleware.access import (
    CLIENT,
    OWNER,
    HostRefused,
    KeyRefused,
    NotJson,
    OriginRefused,
    is_open,
)
from api.middleware.guards import BodyCutOff, BodyTooLarge
from api.schemas import Problem
from api.views import Heartbeat, RunEvent
from graph.queue.executor import QueueFull
from graph.queue.fair import NoRoom, TooManyPosts
from graph.record.events import EVENT_TYPES
from graph.runs.watch import AnswerDelta, RunChanged, StepProgress
from graph.service import Runs
from graph.settings.configured import DEFAULT_OWNER
from nodes.contract.checks import loads

#: So many parameters may an address have.
MOST_PARAMETERS = 100


def parse(body: bytes) -> Any:
    """The value that `body` holds.

    Guessing an encoding, or which of two prompts was meant, would be silently wrong.
    Raises `json.JSONDecodeError` whose `msg` says what is wrong and where.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8; encode the JSON as UTF-8") from error
    try:
        return loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _invalid(f"{error.msg} at {where}", text, error.pos) from error
    except RecursionError as error:
        raise _invalid("it is nested too deeply") from error
    except ValueError as error:
        raise _invalid(str(error)) from error


class StrictRoute(APIRoute):
    """A route that reads its JSON body with `parse`, and refuses unknown parameters of its address.

    FastAPI handles the errors as its own. The operation is called as the function.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # A router hands over a function of its own, which makes names of paths.
        super().__init__(*arguments, **options | {"generate_unique_id_function": _name_of})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        # What our routes depend on besides takes no parameters of the address.
        known = [name for field in self.dependant.query_params for name in _names(field)]

        async def strictly(request: Request) -> Response:
            check_parameters(request, known)
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


def _names(field: Any) -> Iterable[str]:
    """The parameters that a field stands for: itself, or the fields of a model."""
    annotation = field.field_info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    return [field.alias]


def _name_of(route: APIRoute) -> str:
    return route.name


def check_parameters(request: Request, known: Collection[str]) -> None:
    """Raises `RequestValidationError` where a parameter is not one of these, to the letter.

    One that is passed over, since it is misspelled, would be silently wrong.
    """
    check_number(request)
    faults = [
        {
            "type": "unknown_parameter",
            "loc": ("query", name[:60]),
            "msg": f"is no parameter of this call, which has {', '.join(known) or 'none'}",
            "input": None,
        }
        for name in request.query_params
        if name not in known
    ]
    if faults:
        raise RequestValidationError(faults)


def check_number(request: Request) -> None:
    """Raises `RequestValidationError` where there are too many parameters even to read them."""
    if request.scope["query_string"].count(b"&") >= MOST_PARAMETERS:
        fault = {
            "type": "too_many_parameters",
            "loc": ("query",),
            "msg": f"has more than {MOST_PARAMETERS} parameters",
            "input": None,
        }
        raise RequestValidationError([fault])


class _StrictRequest(Request):
    async def json(self) -> Any:
        value = parse(await self.body())
        # FastAPI takes null for no body. It is one, and as wrong as anything that is no object.
        return False if value is None else value


def _invalid(message: str, text: str = "", position: int = 0) -> json.JSONDecodeError:
    return json.JSONDecodeError(message, text, position)


#: How long a call waits for a run unless it says so, and at most, in seconds.
WAIT, LONGEST_WAIT = 30.0, 300

#: How many events are read at once, at most and unless fewer are asked for.
PAGE = 1000

#: Bounds of the size from which values are shortened, in bytes: below, it would save nothing.
SHORTEST_VALUE, LONGEST_VALUE = 100, 2**26

#: Numbers up to here are exact for every reader of JSON; there are never as many of anything.
MOST = 2**53 - 1

After = Annotated[
    int, Query(ge=0, le=MOST, description="Only events after this number; 0 is all of them.")
]

# In an address or a header there is no null: what is not given is left out.

LastEventId = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MOST}),
    Header(
        ge=0,
        le=MOST,
        description="The last event that was seen, as a browser sends it when it comes again; it "
        "goes before `after`.",
    ),
]

Limit = Annotated[int, Query(ge=1, le=PAGE, description="Most events of the answer.")]

Timeout = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT, description="Longest time to wait, in seconds.")
]

MaxValueBytes = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "minimum": SHORTEST_VALUE, "maximum": LONGEST_VALUE}),
    Query(
        ge=SHORTEST_VALUE,
        le=LONGEST_VALUE,
        description="Shorten every value that is larger, in bytes of JSON; `shortened` lists them.",
    ),
]


#: How many checkpoints are read at once, at most and unless more are asked for.
LONGEST_HISTORY, HISTORY_PAGE = 200, 50

CheckpointLimit = Annotated[
    int, Query(ge=1, le=LONGEST_HISTORY, description="Most checkpoints of the answer.")
]

Before = Annotated[
    str | None, Query(description="Only checkpoints older than the one with this id.")
]


_CHECKPOINT_ID = re.compile(r"[0-9a-f-]{1,64}")


def _checkpoint_id(given: str) -> str:
    if _CHECKPOINT_ID.fullmatch(given):
        return given
    raise PydanticCustomError(
        "checkpoint_id", "must be a checkpoint_id of the run, as its history lists them"
    )


CheckpointId = Annotated[
    str,
    AfterValidator(_checkpoint_id),
    Field(json_schema_extra={"pattern": f"^{_CHECKPOINT_ID.pattern}$"}),
]


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


async def _anonymous(request: Request) -> bool:
    return request.scope[OWNER] is None


async def _owner(request: Request) -> str:
    owner: str | None = request.scope[OWNER]
    if (
        owner is None
    ):  # on a path that is open to anonymous callers, but not with what belongs to somebody
        raise KeyRefused(given=False)
    return owner


def named(owner: str) -> str:
    """The caller, as records name who asked for something."""
    return CLIENT if owner == DEFAULT_OWNER else owner


RunsDep = Annotated[Runs, Depends(_runs)]

#: Whether the call came without a key to a server that has keys.
AnonymousDep = Annotated[bool, Depends(_anonymous)]

#: Whose the call is: nobody else's runs are there for it.
OwnerDep = Annotated[str, Depends(_owner)]


# What is said of operations: the API's description of itself.


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
