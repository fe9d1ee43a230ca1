"""The API's description of itself: which problems each route may answer with."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

from api.body_limit import BodyTooLarge
from api.loopback import HostRefused, NotJson, OriginRefused
from api.problems import MEDIA_TYPE, PROBLEMS, Cause, Kind
from api.schemas import Problem

#: What any route may answer with.
ALWAYS: tuple[Cause, ...] = (HostRefused, Exception)

#: What any route that takes a body may answer with besides.
WITH_BODY: tuple[Cause, ...] = (RequestValidationError, 400, OriginRefused, BodyTooLarge, NotJson)

_SCHEMAS = "#/components/schemas/"


def problems(*causes: Cause) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers these causes with a problem, and those of any."""
    kinds: dict[int | str, list[Kind]] = {}
    for kind in (PROBLEMS[cause] for cause in (*causes, *ALWAYS)):
        kinds.setdefault(kind.status, []).append(kind)
    return {status: _response(kinds[status]) for status in kinds}


def description_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is replaced with: the document with problems as errors, made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    return openapi


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    # FastAPI describes invalid input as a 422 of its own; here it is a 400 like any other.
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    return document


def _response(kinds: list[Kind]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "\n".join(f"- `{kind.type}`: {kind.title}" for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }
    if kinds[0].status in (429, 503):
        response["headers"] = {
            "Retry-After": {
                "description": "When to ask again, in seconds.",
                "schema": {"type": "integer"},
            }
        }
    return response
