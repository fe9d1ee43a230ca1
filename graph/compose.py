"""The composition root: everything is built here, from one settings object."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from graph.build import RunGraph, build_graph
from graph.models.calls import DailyBudget, DailyLimit
from graph.models.ladder import make_ladder, make_policy, shared, warm
from graph.queue.executor import Executor
from graph.queue.fair import Quotas
from graph.queue.share import LoopShare, ModelCalls
from graph.record.events import next_event
from graph.runs.accept import RunPolicy
from graph.runs.context import LateCalls, RunContext, make_context
from graph.runs.live import LARGEST, LiveRuns, Observe, SettledRuns
from graph.runs.replay import Build, Replayer
from graph.runs.upkeep import Retention, sweeping
from graph.service import Runs
from graph.settings import Settings, read_settings
from graph.state import Channels
from graph.state.row import Quota
from graph.storage.open import open_storage
from graph.storage.records import ServerAddress
from graph.storage.storage import Storage, StorageError, StorageUnavailable
from graph.telemetry.metrics import Metrics, RunObserver, measuring, together
from graph.telemetry.server import Servers
from graph.telemetry.traces import telling_again, tracing
from graph.telemetry.webhooks import WebhookSender, make_endpoints, sending, subscriptions
from nodes.approval.asking import DoubtGate
from nodes.fallback_plan import LazyPlanner, overlaps
from nodes.planning.model import ModelLadder
from tools.loading import builtin, load, undeclared, undeclared_words
from tools.registry import InvalidTool, make_tools
from tools.threads import ToolThreads
from tools.toolbox import Tool, Toolbox

logger = logging.getLogger("runwright.tools")


@asynccontextmanager
async def open_runs(
    settings: Settings,
    *,
    server: ServerAddress | None = None,
    resume_unfinished: bool = True,
    functions: Iterable[Callable[..., Any]] = (),
    answering: asyncio.Event | None = None,
    share: LoopShare | None = None,
) -> AsyncIterator[Runs]:
    """Runs over the configured storage, executing for as long as the context lasts.

    `server` is where this process answers, for others that find the file in use. Without
    `resume_unfinished`, runs that an earlier process left stay as they are. `functions` become
    tools beside the configured ones. What the first run needs is loaded in the background, soon
    after `answering` is set where it is given. Raises `StorageError`, `DatabaseOwned`,
    `InvalidTool`, `InvalidSettings`, `TracesMissing` and `WebhookUnsigned`.
    """
    tools, ladder = open_tools(settings, functions), make_ladder(settings)
    # What watches all runs belongs to who has them all; a command of the terminal does without.
    metrics = Metrics() if resume_unfinished else None
    endpoints = make_endpoints(settings.webhooks) if resume_unfinished else ()
    if settings.mcp:
        tools = Toolbox(tools)
    for overlap in overlaps(tools):
        logger.warning("%s", overlap)
    planner = LazyPlanner(tools)
    if resume_unfinished and (names := undeclared(tools)):
        logger.warning("%s", undeclared_words(names))
    async with (
        open_storage(
            settings.database_url,
            server=server,
            timed=metrics.write_seconds.observe if metrics else None,
            shared=settings.workers is not None,
        ) as storage,
        open_mcp(settings, tools, answering) as servers,
        tracing(metrics, wanted=settings.traces == "otlp") as traces,
        shared(ladder, settings, storage) as ladder,
    ):
        daily = _daily_budget(settings, storage)
        executor = Executor(
            slots=settings.max_executing,
            in_flight=settings.in_flight,
            max_queued=settings.max_queued,
            share=share,
        )
        calls = ModelCalls(settings.model_calls, executor.suspended)
        if ladder:
            ladder = replace(ladder, slots=calls, budget_guard=daily)
        hooks = tuple(one.url for one in settings.webhooks)
        policy = RunPolicy(
            settings.limits, settings.approve, settings.approval_expires, _quotas(settings), hooks
        )
        # A server's states are changed through it alone; a notebook's may be edited by hand.
        settled = SettledRuns(LARGEST if server and not storage.fleet else 0)
        observers: list[Observe] = [traces] if traces else []
        observers += [RunObserver(metrics)] if metrics else []
        if notices := storage.fleet and storage.fleet.notices:
            observers.append(lambda state: notices.tell(state["run_id"]))
        observe = together(observers, metrics)
        doubts = DoubtGate(settings.in_doubt, settings.approval_expires, next_event)
        build = _build(settings, planner, doubts)
        context = _context(
            settings, storage, tools, ladder, executor, build, doubts, settled, observe
        )
        sender = None
        if endpoints and metrics:
            sender = WebhookSender(storage, endpoints, metrics, context.reader.state, settled.drop)
            observers.append(sender.notice)
        runs = Runs(
            context,
            policy,
            ladder,
            daily_budget=daily,
            calls=calls,
            servers=servers,
            metrics=metrics,
            work=resume_unfinished and settings.workers != 0,
            replayer=Replayer(tools, build, make_policy(settings)),
        )
        try:
            # Of several processes one to which nobody said anything leaves what others subscribed.
            subscribes = storage.fleet is None or "webhooks" in settings.model_fields_set
            if resume_unfinished and subscribes:
                await storage.outbox.subscribe(subscriptions(settings.webhooks))
            await runs.open(resume_unfinished=resume_unfinished)
        except storage.errors as error:
            raise StorageError(storage.faults.explained(error)) from error
        # Who leaves other runs alone does not remove them either.
        retention = _retention(settings, storage, runs) if resume_unfinished else None
        async with (
            _warming(ladder, planner, answering),
            sweeping(retention),
            measuring(metrics),
            sending(sender),
            telling_again(traces if resume_unfinished else None, storage, context.reader.state),
        ):
            try:
                yield runs
            finally:
                await runs.close(settings.grace)


def _context(
    settings: Settings,
    storage: Storage,
    tools: Mapping[str, Tool],
    ladder: ModelLadder | None,
    executor: Executor,
    build: Build,
    doubts: DoubtGate,
    settled: SettledRuns,
    observe: Observe,
) -> RunContext:
    threads, live = ToolThreads(settings.tool_threads), LiveRuns()
    graph = build(
        tools,
        checkpointer=storage.saver,
        store=storage.store,
        threads=threads,
        ladder=ladder,
        wait=executor.wait_until,
        without_slot=executor.without_slot,
        turn=executor.turn,
        learn=LateCalls(storage).learn,
        tell=live.progressed,
        audience=live,
    )
    return make_context(
        graph,
        storage,
        executor,
        tools,
        threads,
        doubts,
        settled,
        live,
        observe,
        settings.thread_context,
    )


def _build(settings: Settings, planner: LazyPlanner, doubts: DoubtGate) -> Build:
    """Builds the graph of all runs, whose world is the parts that it is then given."""
    return partial(
        build_graph,
        limits=settings.limits,
        input_schema=Channels,
        approve=settings.approve,
        approval_expires=settings.approval_expires,
        doubts=doubts,
        tool_errors=settings.tool_errors_told,
        max_kept=settings.max_kept,
        planner=planner,
    )


def make_replayer(settings: Settings) -> Replayer:
    """What runs recorded runs again, without storage, models or servers. Raises `InvalidTool`."""
    tools = open_tools(settings)
    doubts = DoubtGate(settings.in_doubt, settings.approval_expires, next_event)
    build = _build(settings, LazyPlanner(tools), doubts)
    return Replayer(tools, build, make_policy(settings))


def _quotas(settings: Settings) -> Quotas:
    return Quotas(
        posts=settings.posts_per_minute,
        retries=settings.retries_per_run,
        stored=Quota(settings.kept_runs, settings.kept_bytes, settings.forks_per_run),
    )


def _daily_budget(settings: Settings, storage: Storage) -> DailyBudget | None:
    limit = DailyLimit(settings.daily_budget_usd, settings.daily_budget_tokens)
    return DailyBudget(limit, storage.spending) if limit else None


def _retention(settings: Settings, storage: Storage, runs: Runs) -> Retention | None:
    if not (settings.retention or settings.audit_retention):
        return None
    return Retention(
        storage.index,
        runs.remove_settled,
        days=settings.retention,
        audit=storage.audit,
        audit_days=settings.audit_retention,
        errors=(StorageUnavailable, *storage.errors),
        give_back=storage.give_back,
    )


#: How long a server answers before anything is loaded beside that, in seconds.
FIRST_ANSWERS = 0.5


@asynccontextmanager
async def _warming(
    ladder: ModelLadder | None, planner: LazyPlanner, answering: asyncio.Event | None
) -> AsyncIterator[None]:
    """Load what the first run needs beside everything else; close the models' connections."""
    if not (ladder or answering):  # the one run that follows loads it anyway
        yield
        return
    warming = asyncio.create_task(_warm(ladder, planner, answering))
    try:
        yield
    finally:
        warming.cancel()
        await asyncio.wait([warming])
        if ladder:
            from graph.models.client import close_clients  # loaded where there are models

            await close_clients()


async def _warm(
    ladder: ModelLadder | None, planner: LazyPlanner, answering: asyncio.Event | None
) -> None:
    if answering:
        await answering.wait()
        await asyncio.sleep(FIRST_ANSWERS)
    if ladder:
        await warm(ladder)
    else:
        await asyncio.to_thread(planner.load)
    if answering:
        gc.freeze()  # it stays as well, and is in no collection to come


@asynccontextmanager
async def open_mcp(
    settings: Settings, tools: Mapping[str, Tool], after: asyncio.Event | None = None
) -> AsyncIterator[Servers]:
    """The MCP servers of the settings, which put their tools into these; how each of them does.

    They are connected `after` something, where it is given.

    Raises `InvalidTool`.
    """
    if settings.mcp is None or not isinstance(tools, Toolbox):
        yield dict
        return
    if find_spec("mcp") is None:
        raise InvalidTool(
            "RUNWRIGHT_MCP is set, and what it needs is not installed; `make mcp` installs it"
        )
    from tools.mcp.sessions import open_servers  # the SDK is half a second of a start

    async with open_servers(settings.mcp, tools, after) as servers:
        yield servers.health


def open_tools(
    settings: Settings, functions: Iterable[Callable[..., Any]] = ()
) -> Mapping[str, Tool]:
    """The built-in tools, the user's own, and these functions. Raises `InvalidTool`."""
    return make_tools([*builtin(settings.kept_todos), *map(load, settings.tools), *functions])


async def studio_graph() -> RunGraph:
    """The graph for LangGraph Studio, whose server has a checkpointer and a store of its own.

    It is built once, when it is first asked for. Raises `InvalidSettings` and `InvalidTool`.
    """
    return await asyncio.to_thread(_studio_graph)  # the server lets nobody read files on its loop


@cache
def _studio_graph() -> RunGraph:
    settings = read_settings()
    return build_graph(
        open_tools(settings),
        limits=settings.limits,
        threads=ToolThreads(settings.tool_threads),
        ladder=make_ladder(settings),
        approve=settings.approve,
        approval_expires=settings.approval_expires,
        doubts=DoubtGate(settings.in_doubt, settings.approval_expires, next_event),
        tool_errors=settings.tool_errors_told,
        max_kept=settings.max_kept,
        thread_context=settings.thread_context,
    )
