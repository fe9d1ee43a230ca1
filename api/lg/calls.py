"""What answers at the paths of the protocol: all calls, those of the one assistant among them.

Of the assistant there are its graph and its schemas; beside it is said what this server is.
"""

from functools import cache
from importlib.metadata import version
from typing import Any, NoReturn

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.errors.kinds import NotReady, Unsupported
from api.lg.begin import Beginner
from api.lg.history import SettledMessages
from api.lg.requests import (
    AssistantSearchBody,
    Caller,
    Choices,
    as_text,
    check_assistant,
    flag,
    json_response,
    queried,
    read,
)
from api.lg.runs import RunCalls
from api.lg.streams import Follower
from api.lg.threads import ThreadCalls
from api.lg.views import ASSISTANT_ID, GRAPH, selected
from api.middleware.access import OWNER
from graph.state import Channels, RunInput

#: The version of the protocol that is spoken, as LangGraph's server counts it: clients take older
#: ones for servers that they cannot talk to.
PROTOCOL = "0.16.7"

#: What clients may count on.
FLAGS = {
    "assistants": True,
    "crons": False,
    "langsmith": False,
    "langsmith_tracing_replicas": False,
    "langsmith_tracing_session_on_runs": False,
    "strict_resume": True,
    "store": False,
    "event_streaming": False,
}

#: When the assistant was made: it comes with the program.
_MADE = "2026-01-01T00:00:00.000Z"

ASSISTANT: dict[str, Any] = {
    "assistant_id": ASSISTANT_ID,
    "graph_id": GRAPH,
    "name": GRAPH,
    "description": "A task in plain words becomes a plan of tool calls, executed step by step.",
    "config": {},
    "context": {},
    "metadata": {"created_by": "system"},
    "version": 1,
    "created_at": _MADE,
    "updated_at": _MADE,
}


class AssistantCalls:
    """What is asked of the assistant, and of the server."""

    async def info(self, request: Request) -> Response:
        """What this server is, and what it has; without a key only what clients ask it for."""
        queried(request)
        info: dict[str, Any] = {"version": PROTOCOL, "flags": FLAGS}
        if request.scope[OWNER] is not None:
            info["langgraph_py_version"] = version("langgraph")
            info["runwright_version"] = version("runwright")
        return json_response(info)

    async def ok(self, request: Request) -> Response:
        """That it answers, to anybody."""
        if flag(queried(request, "check_db"), "check_db"):
            storage = await request.app.state.runs.health.storage()
            if not storage["writable"]:
                raise NotReady("Storage cannot be read or written; see /health.")
        return json_response({"ok": True})

    async def search(self, request: Request) -> Response:
        """The assistant, if it is sought."""
        Caller.of(request)
        queried(request)
        body = await read(request, AssistantSearchBody)
        fits = (
            as_text(body.metadata or {}).items() <= ASSISTANT["metadata"].items()
            and body.graph_id in (None, GRAPH)
            and (body.name or "").lower() in GRAPH
            and body.offset == 0
        )
        found = [selected(dict(ASSISTANT), body.select)] if fits else []
        return json_response(found, 200, {"X-Pagination-Total": str(int(fits or body.offset > 0))})

    async def get(self, request: Request) -> Response:
        """The assistant."""
        _named(request)
        queried(request)
        return json_response(ASSISTANT)

    async def graph(self, request: Request) -> Response:
        """Its nodes and edges; it has no subgraphs, so that `xray` shows nothing more."""
        caller = _named(request)
        if (depth := queried(request, "xray").get("xray", ["0"])[-1]) and not depth.isdecimal():
            flag({"xray": [depth]}, "xray")
        return json_response(caller.runs.graph.get_graph().to_json())

    async def schemas(self, request: Request) -> Response:
        """What goes in, what comes out, and what a run can be given."""
        _named(request)
        queried(request)
        return json_response(_schemas())

    async def subgraphs(self, request: Request) -> Response:
        """None."""
        _named(request)
        flag(queried(request, "recurse"), "recurse")
        return json_response({})


def _named(request: Request) -> Caller:
    caller = Caller.of(request)
    check_assistant(request.path_params["assistant_id"])
    return caller


@cache
def _schemas() -> dict[str, Any]:
    channels = TypeAdapter(Channels).json_schema(mode="serialization")
    channels["properties"]["messages"] = _MESSAGES
    given = TypeAdapter(RunInput).json_schema()
    either = {
        "title": "Input",
        "type": "object",
        "properties": {**given["properties"], "messages": _MESSAGES},
        "oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
    }
    choices = Choices.model_json_schema()
    return {
        "graph_id": GRAPH,
        "input_schema": either,
        "output_schema": channels,
        "state_schema": channels,
        "config_schema": choices,
        "context_schema": choices,
    }


_MESSAGES = {
    "type": "array",
    "items": {"type": "object"},
    "description": "The thread as messages; of those that are given, the last of a person is the "
    "task.",
}


class Calls:
    """All answers of one server."""

    def __init__(self) -> None:
        settled = SettledMessages()
        self.assistants = AssistantCalls()
        self.runs = RunCalls(Beginner(settled))
        self.threads = ThreadCalls(settled)
        self.follower = Follower(settled)

    async def refuse(self, request: Request, area: str) -> NoReturn:
        """Say that there is no such area. Raises `KeyRefused` and `Unsupported`."""
        Caller.of(request)
        raise Unsupported(area)
