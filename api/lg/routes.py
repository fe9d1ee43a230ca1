"""The paths of the protocol under `/lg`, those that are not supported among them."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from api.errors.protocol import Unsupported
from api.lg import assistants
from api.lg.begin import Beginner
from api.lg.messages import SettledMessages
from api.lg.requests import Caller
from api.lg.runs import RunCalls
from api.lg.streams import Follower
from api.lg.threads import ThreadCalls

#: Where it is.
PREFIX = "/lg"

Answer = Callable[[Request], Awaitable[Response]]

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
    settled = SettledMessages()
    runs, threads = RunCalls(Beginner(settled)), ThreadCalls(settled)
    refused = [
        _route(call, _refusing(area)) for area, calls in _UNSUPPORTED.items() for call in calls
    ]
    answers: Sequence[tuple[str, Answer]] = (
        ("GET /info", assistants.info),
        ("GET /ok", assistants.ok),
        ("POST /assistants/search", assistants.search),
        ("GET /assistants/{assistant_id}", assistants.get),
        ("GET /assistants/{assistant_id}/graph", assistants.graph),
        ("GET /assistants/{assistant_id}/schemas", assistants.schemas),
        ("GET /assistants/{assistant_id}/subgraphs", assistants.subgraphs),
        ("POST /threads", threads.create),
        ("POST /threads/search", threads.search),
        (f"GET {_THREAD}", threads.get),
        (f"PATCH {_THREAD}", threads.change),
        (f"DELETE {_THREAD}", threads.delete),
        (f"GET {_THREAD}/state", threads.state),
        (f"POST {_THREAD}/state", threads.update),
        (f"POST {_THREAD}/state/checkpoint", threads.state_at),
        (f"GET {_THREAD}/state/{{checkpoint_id}}", threads.state),
        (f"GET {_THREAD}/history", threads.history),
        (f"POST {_THREAD}/history", threads.history),
        (f"POST {_THREAD}/runs", runs.create),
        (f"POST {_THREAD}/runs/stream", runs.create_and_stream),
        (f"POST {_THREAD}/runs/wait", runs.create_and_wait),
        (f"GET {_THREAD}/stream", Follower(settled).stream),
        (f"GET {_THREAD}/runs", runs.of_thread),
        (f"GET {_RUN}", runs.get),
        (f"DELETE {_RUN}", runs.delete),
        (f"GET {_RUN}/join", runs.join),
        (f"GET {_RUN}/stream", runs.stream),
        (f"POST {_RUN}/cancel", runs.cancel),
        ("POST /runs", runs.create),
        ("POST /runs/stream", runs.create_and_stream),
        ("POST /runs/wait", runs.create_and_wait),
        ("GET /runs/{run_id}/stream", runs.stream),
        ("GET /runs/{run_id}/join", runs.join),
    )
    return [*refused, *(_route(call, answer) for call, answer in answers)]


class CountedRoute(Route):
    """A route by whose path its requests are counted."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route` has it, with the route."""
        match, child = super().matches(scope)
        return match, child if match is Match.NONE else {**child, "route": self}


def _route(call: str, answer: Answer) -> BaseRoute:
    method, _, path = call.partition(" ")
    return CountedRoute(f"{PREFIX}{path}", answer, methods=[method], include_in_schema=False)


def _refusing(area: str) -> Answer:
    async def refuse(request: Request) -> Response:
        Caller.of(request)
        raise Unsupported(area)

    return refuse
