"""What the server tells about itself; nothing is decided here about runs."""

from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from api.dependencies import RunsDep, StrangerDep
from api.openapi import problems
from api.problems import NotReady
from api.schemas import Alive, Health, ToolList, ToolView
from api.times import rfc3339
from graph.service import Runs

router = APIRouter()


@router.get("/tools", tags=["server"], responses=problems())
async def list_tools(runs: RunsDep) -> ToolList:
    """The tools that plans may use."""
    return ToolList(
        tools=[
            ToolView(
                name=tool.name,
                description=tool.description,
                input_schema=tool.schema_model.model_json_schema(),
                effects=tool.effects,
                repeatable=tool.repeatable,
            )
            for tool in runs.tools.values()
        ]
    )


@router.get("/graph", tags=["server"], response_class=PlainTextResponse, responses=problems())
async def draw_graph(runs: RunsDep) -> str:
    """The graph that executes every run, as Mermaid text."""
    return runs.mermaid()


@router.get("/health", tags=["health"], responses=problems())
async def read_health(request: Request, runs: RunsDep, stranger: StrangerDep) -> Health:
    """The version and the state of storage; `/health/ready` is the one to route traffic by.

    Where there are keys, only a call with one is told more of the storage than whether it works.
    """
    storage = await runs.health.storage()
    healthy = runs.ready and storage["writable"]
    return Health(
        status="ok" if healthy else "degraded",
        version=request.app.version,
        storage={"status": "ok" if storage["writable"] else "degraded"} if stranger else storage,
        models={} if stranger else _models(runs),
    )


@router.get("/health/live", tags=["health"], responses=problems())
async def read_liveness() -> Alive:
    """Whether the process answers at all; restart it when it does not."""
    return Alive(status="ok")


@router.get("/health/ready", tags=["health"], responses=problems(NotReady))
async def read_readiness(runs: RunsDep) -> Alive:
    """Whether runs can be accepted now."""
    if not runs.ready:
        raise NotReady("The server is starting or stopping.")
    if not (await runs.health.storage())["writable"]:
        raise NotReady("Storage cannot be written; see /health.")
    return Alive(status="ok")


def _models(runs: Runs) -> dict[str, Any]:
    """The models' states with their times in RFC 3339."""
    return {
        name: {**state, "until": rfc3339(cast("float | None", state["until"]))}
        for name, state in runs.health.models().items()
    }
