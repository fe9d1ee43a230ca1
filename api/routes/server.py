"""The server itself: what is left of an owner's day, how it does, its settings, its tools."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from api.errors.kinds import NotReady
from api.middleware.access import OWNER
from api.operations import (
    LOCATION,
    NEW_RUN,
    WITH_BODY,
    AnonymousDep,
    OwnerDep,
    RunsDep,
    StrictRoute,
    named,
    problems,
)
from api.schemas import Alive, Body, Health, RunCreated, ToolList, ToolView
from api.views import (
    DoctorAnswer,
    Finding,
    answered,
    json_answer,
    model_findings,
    server_findings,
    storage_finding,
    tool_findings,
)
from graph.commands.seeded import ToolNotFound
from graph.queue.executor import NotAccepting
from graph.runs.accept import ChoiceRejected
from graph.settings import Settings
from graph.settings.configured import without_secrets
from graph.state.wording import Time, counted, doc, rfc3339
from graph.storage.records import ServerAddress
from graph.storage.storage import StorageUnavailable
from graph.telemetry.server import setting_values
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import snapshot

budget_router = APIRouter(route_class=StrictRoute, tags=["server"])


class DailyLimits(TypedDict):
    """The most that a day may cost; null is no limit."""

    usd: Annotated[float | None, doc("US dollars.")]
    tokens: Annotated[int | None, doc("Tokens, read and written.")]


class DaySpent(TypedDict):
    """What the day has cost so far."""

    usd: Annotated[float | None, doc("US dollars; null when a price is not known.")]
    tokens: Annotated[int, doc("Tokens, read and written.")]
    calls: Annotated[int, doc("Calls of models that were paid for.")]


class OwnerLimits(TypedDict):
    """The most that an owner may take of the server; null is no limit."""

    posts_per_minute: Annotated[
        int | None, doc("Posts, previews, retries and forks, all together.")
    ]
    runs: Annotated[int | None, doc("Runs that are kept.")]
    bytes: Annotated[int | None, doc("Bytes that are kept of runs.")]
    retries_per_run: Annotated[int | None, doc("Retries of one run.")]
    forks_per_run: Annotated[int | None, doc("Forks of one run.")]


class OwnerUsage(TypedDict):
    """What an owner has taken of it."""

    posts: Annotated[
        int, doc("Of the posts of a minute; they come back evenly, so many in a minute.")
    ]
    runs: Annotated[int, doc("Runs that are kept.")]
    bytes: Annotated[
        int,
        doc(
            "Bytes of their prompts and checkpoints; those of a run under way are counted when "
            "it rests."
        ),
    ]


class QuotaAnswer(TypedDict):
    """What the caller may take of the server that others use too, and has taken."""

    limit: Annotated[OwnerLimits, doc("The limits of every owner.")]
    used: Annotated[OwnerUsage, doc("What the caller has taken.")]


class BudgetAnswer(TypedDict):
    """The caller's budget of the day, and quota; every owner has both alone."""

    limit: Annotated[DailyLimits, doc("The limits of a day.")]
    spent: Annotated[
        DaySpent | None,
        doc(
            "What calls of models have cost today; null without a limit, since nothing is "
            "counted then."
        ),
    ]
    renewed_at: Annotated[Time, doc("When the next day begins: midnight, UTC.")]
    quota: Annotated[QuotaAnswer, doc("What may be posted and kept, and is.")]


@budget_router.get(
    "/budget",
    response_class=JSONResponse,
    responses={
        200: answered(BudgetAnswer, "The budget."),
        **problems(StorageUnavailable),
    },
)
async def read_budget(runs: RunsDep, owner: OwnerDep) -> Response:
    """What the caller may spend on planning by models today, post and keep; and what is used of it.

    Where the next call does not fit into what is left, the pattern planner plans until the day
    ends.
    """
    account, (quotas, usage) = await runs.account(owner), await runs.usage(owner)
    quota = QuotaAnswer(
        limit=OwnerLimits(
            posts_per_minute=quotas.posts or None,
            runs=quotas.stored.runs or None,
            bytes=quotas.stored.bytes or None,
            retries_per_run=quotas.retries or None,
            forks_per_run=quotas.stored.forks or None,
        ),
        used=OwnerUsage(posts=usage.posts, runs=usage.kept.runs, bytes=usage.kept.bytes),
    )
    return json_answer(asdict(account) | {"quota": quota}, BudgetAnswer)


router = APIRouter(route_class=StrictRoute)

#: How models do, by their names.
Models = Mapping[str, Mapping[str, object]]

#: How a command that is about to send its key asks whether this is the server that has the file,
#: and the header of the answer.
NONCE, PROOF = "X-Runwright-Nonce", "X-Runwright-Proof"

NonceHeader = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
    Header(
        alias=NONCE,
        pattern="^[0-9a-f]{64}$",
        description="32 random bytes: who answers them with the right proof is the server that has "
        "the database file.",
    ),
]

_PROVEN = {
    PROOF: {
        "description": "HMAC-SHA-256, by the secret in the note beside the database, of the "
        "server's address, a line feed and the nonce; in hex.",
        "schema": {"type": "string"},
    }
}


@router.get("/graph", tags=["server"], response_class=PlainTextResponse, responses=problems())
async def draw_graph(runs: RunsDep) -> str:
    """The graph that executes every run, as Mermaid text."""
    return runs.mermaid()


@router.get("/health", tags=["health"], responses=problems())
async def read_health(request: Request, runs: RunsDep, anonymous: AnonymousDep) -> Health:
    """The version, how storage and models do, and how many runs the caller has under way.

    `/health/ready` is the one to route traffic by.

    `degraded` also while no configured model can be asked: runs are accepted then, and planned
    without one.

    Where there are keys, only a call with one is told more of the storage than whether it works.
    """
    storage, owner = await runs.health.storage(), request.scope[OWNER]
    models = runs.health.models(owner)
    healthy = runs.ready and storage["writable"] and _models_left(models)
    return Health(
        status="ok" if healthy else "degraded",
        version=request.app.version,
        storage={"status": "ok" if storage["writable"] else "degraded"} if anonymous else storage,
        models={} if anonymous else _models(models),
        servers={} if anonymous else dict(runs.health.servers()),
        runs={} if anonymous else dict(runs.health.runs(owner)),
    )


@router.get(
    "/health/live",
    tags=["health"],
    responses={200: {"headers": _PROVEN}, **problems()},
)
async def read_liveness(
    request: Request, response: Response, x_runwright_nonce: NonceHeader = None
) -> Alive:
    """Whether the process answers at all; restart it when it does not."""
    address: ServerAddress | None = request.app.state.address
    if address is not None and x_runwright_nonce is not None:
        response.headers[PROOF] = address.proof(x_runwright_nonce)
    return Alive(status="ok")


@router.get("/health/ready", tags=["health"], responses=problems(NotReady))
async def read_readiness(runs: RunsDep) -> Alive:
    """Whether runs can be accepted now."""
    if not runs.ready:
        raise NotReady("The server is starting or stopping.")
    storage = await runs.health.storage()
    if damage := storage.get("damage"):
        raise NotReady(f"Storage is {damage}.")
    if not storage["writable"]:
        raise NotReady("Storage cannot be read or written; see /health.")
    return Alive(status="ok")


@router.get(
    "/doctor",
    tags=["health"],
    response_class=JSONResponse,
    responses={200: answered(DoctorAnswer, "What was found."), **problems()},
)
async def examine(request: Request, runs: RunsDep, owner: OwnerDep) -> Response:
    """What `runwright doctor` would say of this server, as far as the process can tell, and its
    settings but for texts.

    No model is asked and nothing is opened for it.
    """
    health, tools = runs.health, snapshot(runs.tools, owner)
    settings: Settings | None = request.app.state.settings
    checks = [
        # It reads every phrase of the tools; runs go on meanwhile.
        *await asyncio.to_thread(lambda: list(tool_findings(tools))),
        Finding("tools", "ok", counted(len(tools), "tool")),
        *server_findings(health.servers()),
        storage_finding(await health.storage()),
        *model_findings(health.models(owner)),
    ]
    answer = DoctorAnswer(
        version=request.app.version,
        ok=all(check.status != "fails" for check in checks),
        checks=[replace(check, message=without_secrets(check.message)) for check in checks],
        settings=setting_values(settings) if settings else [],
    )
    return json_answer(answer, DoctorAnswer)


def _models_left(models: Models) -> bool:
    """Whether any of the configured models can be asked; true as well where none is configured."""
    states = [model["state"] for model in models.values()]
    return not states or "ok" in states


def _models(models: Models) -> dict[str, Any]:
    """The models' states with their times in RFC 3339."""
    return {
        name: {**state, "until": until and rfc3339(cast("float", until))}
        for name, state in models.items()
        for until in [state["until"]]
    }


# Its tools: those that plans may use, and a call of one by itself.


class ToolCallCreate(Body):
    """What a tool is to be called with."""

    input: dict[str, Any] = Field(
        default_factory=dict,
        description="Its input, as its schema has it. Braces are text: there are no steps to "
        "refer to.",
        examples=[{"expression": "6 * 7"}],
    )


tool_router = APIRouter(route_class=StrictRoute, tags=["server"])


@cache
def _builtin() -> frozenset[str]:
    """The names of the tools that come with it; no other may have one of them."""
    return frozenset(make_tools(BUILTIN))


@tool_router.get("/tools", responses=problems())
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


@tool_router.post(
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
