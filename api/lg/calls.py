"""Who makes a call of the protocol, and how it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from api.middleware.access import CLIENT, OWNER, KeyRefused
from graph.service import Runs
from graph.settings.keys import DEFAULT_OWNER


@dataclass(frozen=True)
class Caller:
    """Whose a request is, and what it is about."""

    request: Request
    runs: Runs
    owner: str
    heartbeat: float

    @classmethod
    def of(cls, request: Request) -> "Caller":
        """Who makes a request. Raises `KeyRefused`."""
        owner: str | None = request.scope[OWNER]
        if owner is None:
            raise KeyRefused(given=False)
        state = request.app.state
        return cls(request, state.runs, owner, state.heartbeat)

    @property
    def by(self) -> str:
        """The caller, as records name who asked for something."""
        return CLIENT if self.owner == DEFAULT_OWNER else self.owner


class CountedRoute(Route):
    """A route by whose path its requests are counted."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route` has it, with the route."""
        match, child = super().matches(scope)
        return match, child if match is Match.NONE else {**child, "route": self}


def json_response(
    data: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer as JSON."""
    return Response(to_json(data), status, headers, "application/json")
