"""What is wrong with a request, field by field, as validation says it."""

from collections.abc import Mapping
from typing import Annotated, Any

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
