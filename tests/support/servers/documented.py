"""Answers as their description has them: every field, no other one, and each of its type."""

import json
import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import TypeAdapter

from api import operations

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_FORMATS = FormatChecker(())


@_FORMATS.checks("date-time")
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or _TIME.fullmatch(value) is not None


def documented(kind: type, answer: bytes | object) -> Any:
    """The data of an answer, as bytes or read already, held to the shape that describes it."""
    data = json.loads(answer) if isinstance(answer, bytes) else answer
    _validator(kind).validate(data)
    return data


@cache
def _validator(kind: type) -> Draft202012Validator:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    for shape in (schema, *schema.get("$defs", {}).values()):
        if "properties" in shape:
            shape["additionalProperties"] = False
    return Draft202012Validator(schema, format_checker=_FORMATS)


def describe_once() -> None:
    """Let applications with the same routes have one description of them, also in forks.

    To describe them takes a third of a second.
    """
    described: dict[tuple[str, ...], dict[str, Any]] = {}
    describe = operations._describe

    def once(app: FastAPI) -> dict[str, Any]:
        routes = tuple(getattr(route, "path", "") for route in app.routes)
        if routes not in described:
            described[routes] = describe(app)
        document = described[routes]
        # The application adds how a key is sent.
        return document | {"components": dict(document["components"])}

    operations._describe = once
