"""Reading a body as the JSON that RFC 8259 defines, and refusing what is only nearly JSON."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

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
    """A route that reads its JSON body with `parse`; FastAPI handles the errors as its own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse(await self.body())


def _invalid(message: str, text: str = "", position: int = 0) -> json.JSONDecodeError:
    return json.JSONDecodeError(message, text, position)
