"""The paths of the protocol under `/lg`, those that are not supported among them.

What answers there is loaded by the first request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

if TYPE_CHECKING:
    from api.lg.calls import Calls

#: Where it is.
PREFIX = "/lg"

Answer = Callable[[Request], Awaitable[Response]]

#: Which of the answers it is, once they are loaded.
Choose = Callable[["Calls"], Answer]

_THREAD = "/threads/{thread_id}"
_RUN = f"{_THREAD}/runs/{{run_id}}"

#: Areas that there are not: what each is called, and where clients ask for it.
_UNSUPPORTED = {
    "changing assistants": (
        "POST /assistants",
        "PATCH /assistants/{assistant_id}",
        "DELETE /assistants/{assistant_id}",
        "POST /assistants/count",
        "POST /assistants/{assistant_id}/versions",
        "POST /assistants/{assistant_id}/latest",
    ),
    "schemas of subgraphs": ("GET /assistants/{assistant_id}/subgraphs/{namespace}",),
    "counting threads": ("POST /threads/count",),
    "pruning threads": ("POST /threads/prune",),
    "copying threads": (f"POST {_THREAD}/copy",),
    "changing the metadata of a state": (f"PATCH {_THREAD}/state",),
    "the event-streaming protocol": (
        f"POST {_THREAD}/stream/events",
        f"GET {_THREAD}/stream/events",
        f"POST {_THREAD}/commands",
    ),
    "cancelling many runs at once": ("POST /runs/cancel",),
    "batches of runs": ("POST /runs/batch",),
    "crons": (
        "POST /runs/crons",
        "POST /runs/crons/search",
        "POST /runs/crons/count",
        "PATCH /runs/crons/{cron_id}",
        "DELETE /runs/crons/{cron_id}",
        f"POST {_THREAD}/runs/crons",
    ),
    "the store": (
        "PUT /store/items",
        "GET /store/items",
        "DELETE /store/items",
        "POST /store/items/search",
        "POST /store/namespaces",
    ),
}


def lg_routes() -> list[BaseRoute]:
    """The routes; those with words before those with ids."""
    loaded = _Loaded()
    refused = [
        _route(call, _refusing(loaded, area))
        for area, calls in _UNSUPPORTED.items()
        for call in calls
    ]
    answers: Sequence[tuple[str, Choose]] = (
        ("GET /info", lambda calls: calls.assistants.info),
        ("GET /ok", lambda calls: calls.assistants.ok),
        ("POST /assistants/search", lambda calls: calls.assistants.search),
        ("GET /assistants/{assistant_id}", lambda calls: calls.assistants.get),
        ("GET /assistants/{assistant_id}/graph", lambda calls: calls.assistants.graph),
        ("GET /assistants/{assistant_id}/schemas", lambda calls: calls.assistants.schemas),
        ("GET /assistants/{assistant_id}/subgraphs", lambda calls: calls.assistants.subgraphs),
        ("POST /threads", lambda calls: calls.threads.create),
        ("POST /threads/search", lambda calls: calls.threads.search),
        (f"GET {_THREAD}", lambda calls: calls.threads.get),
        (f"PATCH {_THREAD}", lambda calls: calls.threads.change),
        (f"DELETE {_THREAD}", lambda calls: calls.threads.delete),
        (f"GET {_THREAD}/state", lambda calls: calls.threads.state),
        (f"POST {_THREAD}/state", lambda calls: calls.threads.update),
        (f"POST {_THREAD}/state/checkpoint", lambda calls: calls.threads.state_at),
        (f"GET {_THREAD}/state/{{checkpoint_id}}", lambda calls: calls.threads.state),
        (f"GET {_THREAD}/history", lambda calls: calls.threads.history),
        (f"POST {_THREAD}/history", lambda calls: calls.threads.history),
        (f"POST {_THREAD}/runs", lambda calls: calls.runs.create),
        (f"POST {_THREAD}/runs/stream", lambda calls: calls.runs.create_and_stream),
        (f"POST {_THREAD}/runs/wait", lambda calls: calls.runs.create_and_wait),
        (f"GET {_THREAD}/stream", lambda calls: calls.follower.stream),
        (f"GET {_THREAD}/runs", lambda calls: calls.runs.of_thread),
        (f"GET {_RUN}", lambda calls: calls.runs.get),
        (f"DELETE {_RUN}", lambda calls: calls.runs.delete),
        (f"GET {_RUN}/join", lambda calls: calls.runs.join),
        (f"GET {_RUN}/stream", lambda calls: calls.runs.stream),
        (f"POST {_RUN}/cancel", lambda calls: calls.runs.cancel),
        ("POST /runs", lambda calls: calls.runs.create),
        ("POST /runs/stream", lambda calls: calls.runs.create_and_stream),
        ("POST /runs/wait", lambda calls: calls.runs.create_and_wait),
        ("GET /runs/{run_id}/stream", lambda calls: calls.runs.stream),
        ("GET /runs/{run_id}/join", lambda calls: calls.runs.join),
    )
    return [*refused, *(_route(call, _answering(loaded, choose)) for call, choose in answers)]


class _Loaded:
    """What answers. Most servers are never asked for it: a megabyte, in nine modules."""

    def __init__(self) -> None:
        self._calls: Calls | None = None
        self._loading = asyncio.Lock()

    async def calls(self) -> "Calls":
        """All of it, loaded at the first time, beside which others are answered."""
        async with self._loading:
            if self._calls is None:
                self._calls = await asyncio.to_thread(_load)
            return self._calls


def _load() -> "Calls":
    from api.lg.calls import Calls

    return Calls()


class CountedRoute(Route):
    """A route by whose path its requests are counted."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route` has it, with the route."""
        match, child = super().matches(scope)
        return match, child if match is Match.NONE else {**child, "route": self}


def _route(call: str, answer: Answer) -> BaseRoute:
    method, _, path = call.partition(" ")
    return CountedRoute(f"{PREFIX}{path}", answer, methods=[method], include_in_schema=False)


def _answering(loaded: _Loaded, choose: Choose) -> Answer:
    async def answer(request: Request) -> Response:
        return await choose(await loaded.calls())(request)

    return answer


def _refusing(loaded: _Loaded, area: str) -> Answer:
    async def refuse(request: Request) -> Response:
        return await (await loaded.calls()).refuse(request, area)

    return refuse
