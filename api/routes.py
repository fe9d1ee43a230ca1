"""What the server answers: one function a call, and nothing decided here about runs."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic_core import to_json

from api.openapi import WITH_BODY, problems
from api.problems import NotReady
from api.record import Run, present, present_summary
from api.schemas import Alive, Health, RunCreate, RunCreated, RunList, ToolList, ToolView
from api.strict_json import StrictRoute
from api.times import rfc3339
from graph.executor import QueueFull
from graph.runs import NotAccepting, PromptRejected, RunNotFound, Runs, StorageUnavailable
from graph.state import Budget

router = APIRouter(route_class=StrictRoute)


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


RunsDep = Annotated[Runs, Depends(_runs)]


@router.post(
    "/runs",
    status_code=201,
    tags=["runs"],
    response_class=JSONResponse,
    responses={
        201: {
            "model": RunCreated,
            "description": "Accepted and on disk.",
            "headers": {
                "Location": {"description": "Where to read the run.", "schema": {"type": "string"}}
            },
        },
        **problems(*WITH_BODY, PromptRejected, QueueFull, NotAccepting, StorageUnavailable),
    },
)
async def create_run(body: RunCreate, runs: RunsDep) -> Response:
    """Accept a task. It is planned and executed after the answer; read the run to follow it."""
    budget = cast("Budget | None", body.budget and body.budget.model_dump())
    record = await runs.start(body.prompt, budget=budget)
    created = {"run_id": record["run_id"], "status": record["status"]}
    return _json(created, 201, {"Location": f"/runs/{record['run_id']}"})


@router.get(
    "/runs/{run_id}",
    tags=["runs"],
    response_class=JSONResponse,
    responses={
        200: {"model": Run, "description": "The record."},
        **problems(RunNotFound, StorageUnavailable),
    },
)
async def read_run(run_id: str, runs: RunsDep) -> Response:
    """The complete record of a run: plan, attempts, waits, errors, usage and result."""
    return _json(present(await runs.get(run_id)))


@router.get(
    "/runs",
    tags=["runs"],
    response_class=JSONResponse,
    responses={
        200: {"model": RunList, "description": "The newest 50."},
        **problems(StorageUnavailable),
    },
)
async def list_runs(runs: RunsDep) -> Response:
    """The newest 50 runs, newest first."""
    return _json({"runs": [present_summary(run) for run in await runs.newest(50)]})


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
async def read_health(request: Request, runs: RunsDep) -> Health:
    """The version and the state of storage; `/health/ready` is the one to route traffic by."""
    storage = await runs.storage_state()
    healthy = runs.ready and storage["writable"]
    return Health(
        status="ok" if healthy else "degraded",
        version=request.app.version,
        storage=storage,
        models=_models(runs),
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
    if not (await runs.storage_state())["writable"]:
        raise NotReady("Storage cannot be written; see /health.")
    return Alive(status="ok")


def _models(runs: Runs) -> dict[str, Any]:
    """The models' states with their times in RFC 3339."""
    return {
        name: {**state, "until": rfc3339(cast("float | None", state["until"]))}
        for name, state in runs.models_state().items()
    }


def _json(
    content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    # Validating a record that was just made would cost more than making it; the tests hold the
    # answers to their documented models instead.
    return Response(to_json(content, inf_nan_mode="strings"), status, headers, "application/json")
