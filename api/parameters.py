"""What calls take, read to the letter: JSON as RFC 8259 defines it, and only known parameters."""

import json
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, WithJsonSchema

from api.middleware.access import CLIENT, OWNER, KeyRefused
from graph.service import Runs
from graph.settings.keys import DEFAULT_OWNER
from nodes.contract.json_data import loads

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
