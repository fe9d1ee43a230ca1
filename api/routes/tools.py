"""Tools: those that plans may use, and a call of one by itself."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api.openapi import LOCATION, NEW_RUN, WITH_BODY, problems
from api.parameters import OwnerDep, RunsDep, StrictRoute, named
from api.schemas import Body, RunCreated, ToolList, ToolView
from api.views import json_answer
from graph.commands.call import ToolNotFound
from graph.queue.executor import NotAccepting
from graph.runs.accept import ChoiceRejected
from graph.storage.storage import StorageUnavailable
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import snapshot


class ToolCallCreate(Body):
    """What a tool is to be called with."""

    input: dict[str, Any] = Field(
        default_factory=dict,
        description="Its input, as its schema has it. Braces are text: there are no steps to "
        "refer to.",
        examples=[{"expression": "6 * 7"}],
    )


router = APIRouter(route_class=StrictRoute, tags=["server"])


@cache
def _builtin() -> frozenset[str]:
    """The names of the tools that come with it; no other may have one of them."""
    return frozenset(make_tools(BUILTIN))


@router.get("/tools", responses=problems())
async def list_tools(runs: RunsDep, owner: OwnerDep) -> ToolList:
    """The tools that plans of the caller may use."""
    return ToolList(
        tools=[
            ToolView(
                name=tool.name,
                description=tool.description,
                input_schema=tool.json_schema,
                effects=tool.effects,
                idempotent=tool.idempotent,
                in_doubt=tool.in_doubt,
                repeatable=tool.idempotent,
                timeout=tool.timeout,
                attempts=tool.attempts,
                server=tool.server,
                builtin=tool.name in _builtin(),
            )
            for tool in snapshot(runs.tools, owner).values()
        ]
    )


@router.post(
    "/tools/{name}/call",
    status_code=201,
    response_class=JSONResponse,
    responses={
        201: {"model": RunCreated, "description": "Accepted and on disk.", "headers": LOCATION},
        **problems(
            *(*WITH_BODY, ChoiceRejected, ToolNotFound),
            *(*NEW_RUN, NotAccepting, StorageUnavailable),
        ),
    },
)
async def call_tool(name: str, body: ToolCallCreate, runs: RunsDep, owner: OwnerDep) -> Response:
    """Accept one call of a tool as a run of one step, which nobody has to plan.

    It is recorded, attempted again and, as RUNWRIGHT_APPROVE says, asked about like any other.
    """
    record = await runs.call(name, body.input, owner=owner, by=named(owner))
    called = {"run_id": record["run_id"], "status": record["status"]}
    return json_answer(called, None, 201, {"Location": f"/runs/{record['run_id']}"})
