"""What is wrong with a request, field by field, and what would be right."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import Field
from typing_extensions import TypedDict

from graph.state.wording import counted

_JSON_NAMES: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}

#: What a field must be, by the fault that says it is not; pydantic's words are those of Python.
_TYPES: Mapping[str, str] = {
    "string_type": "a string",
    "dict_type": "a JSON object",
    "list_type": "an array",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
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
        case "string_unicode":
            return "holds half of a surrogate pair; send whole characters"
        case "finite_number" | "int_type" if fault["input"] in (math.inf, -math.inf):
            return "must be a finite number"  # JSON's 1e999 is read as none
        case "model_attributes_type":
            return f"must be a JSON object, not {_json_name(fault['input'])}"
        case kind if kind in _TYPES:
            return f"must be {_TYPES[kind]}, not {_given(fault)}"
        case _:
            return _limit(fault) or str(fault["msg"])


def _limit(fault: Mapping[str, Any]) -> str | None:
    match fault["type"]:
        case "literal_error":
            return f"must be {fault['ctx']['expected']}"
        case "greater_than_equal":
            return f"must be {_number(fault['ctx']['ge'])} or more"
        case "less_than_equal":
            return f"must be {_number(fault['ctx']['le'])} or less"
        case "too_short" | "string_too_short":
            return f"must have at least {_length(fault['ctx']['min_length'], fault['input'])}"
        case "too_long" | "string_too_long":
            return f"must have at most {_length(fault['ctx']['max_length'], fault['input'])}"
    return None


def _given(fault: Mapping[str, Any]) -> str:
    # Where a number is wrong for not being whole, its kind alone would not tell why.
    value = fault["input"]
    as_given = fault["type"] == "int_type" and isinstance(value, float)
    return str(value) if as_given else _json_name(value)


def _number(bound: float) -> str:
    return str(int(bound) if float(bound).is_integer() else bound)


def _length(number: int, value: object) -> str:
    return counted(number, "character" if isinstance(value, str) else "item", grouped=True)


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "something else")
