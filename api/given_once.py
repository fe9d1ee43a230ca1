"""Parameters that are given twice: which of the two was meant is not guessed."""

from collections import Counter
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
        self._query = frozenset(_names(route.query_params)) - SEVERAL
        self._headers = frozenset(_names(route.header_params))

    def check(self, request: Request) -> None:
        """Raises `RequestValidationError`."""
        asked = (name for name, _ in request.query_params.multi_items())
        given = Counter(("query", name) for name in asked if name in self._query)
        given.update(
            ("header", name) for name, _ in request.headers.items() if name in self._headers
        )
        twice = [
            {"type": "given_twice", "loc": place, "msg": "is given more than once; give it once"}
            for place, times in given.items()
            if times > 1
        ]
        if twice:
            raise RequestValidationError(twice)


def _names(parameters: Sequence[Any]) -> Iterator[str]:
    for parameter in parameters:
        kind = parameter.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from kind.model_fields
        else:
            yield parameter.alias
