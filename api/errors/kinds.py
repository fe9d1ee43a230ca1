"""What a kind of problem is: its status, its words, and the fields that are at fault."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from typing_extensions import TypedDict


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
