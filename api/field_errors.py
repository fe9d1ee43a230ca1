"""What is wrong with a request, field by field, and what would be right."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import Field
from typing_extensions import TypedDict

_JSON_NAMES: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


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
    at_body = tuple(fault["loc"]) == ("body",)
    match fault["type"]:
        case "missing" if at_body:
            return "is empty; send a JSON object"
        case "missing":
            return "is required"
        case "json_invalid":
            return f"is not valid JSON: {fault['ctx']['error']}"
        case "model_attributes_type":
            return f"must be a JSON object, not {_json_name(fault['input'])}"
        case "string_type":
            return f"must be a string, not {_json_name(fault['input'])}"
        case _:
            return str(fault["msg"])


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "something else")
