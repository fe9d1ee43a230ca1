"""Reading a body as the JSON that RFC 8259 defines, and refusing what is only nearly JSON."""

import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from nodes.contract.json_data import loads


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
    """A route that reads its JSON body with `parse`, and takes no parameter twice.

    FastAPI handles the errors as its own.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        once = GivenOnce(self.dependant)

        async def strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            once.check(strict)  # what it reads of the address is not read again
            return await handle(strict)

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse(await self.body())


def _invalid(message: str, text: str = "", position: int = 0) -> json.JSONDecodeError:
    return json.JSONDecodeError(message, text, position)


# Parameters that are given twice: which of the two was meant is not guessed.


#: What may have several values in an address.
SEVERAL = frozenset({"status"})


class GivenOnce:
    """Refuses requests that give one of a route's parameters more than once."""

    def __init__(self, route: Dependant) -> None:
        self._query = [name for name in _names(route.query_params) if name not in SEVERAL]
        self._headers = list(_names(route.header_params))

    def check(self, request: Request) -> None:
        """Raises `RequestValidationError`."""
        query, headers = request.query_params, request.headers
        twice = [("query", name) for name in self._query if len(query.getlist(name)) > 1]
        twice += [("header", name) for name in self._headers if len(headers.getlist(name)) > 1]
        if twice:
            message = "is given more than once; give it once"
            raise RequestValidationError(
                [{"type": "given_twice", "loc": place, "msg": message} for place in twice]
            )


def _names(parameters: Sequence[Any]) -> Iterator[str]:
    for parameter in parameters:
        kind = parameter.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from kind.model_fields
        else:
            yield parameter.alias
