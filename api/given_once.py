"""Parameters that are given twice: which of the two was meant is not guessed."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

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
