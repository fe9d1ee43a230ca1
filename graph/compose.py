"""The composition root: everything is built here, from one settings object."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from graph.build import build_graph
from graph.commands.deletion import Retention, sweeping
from graph.models.client import close_clients
from graph.models.daily_budget import DailyBudget, DailyLimit
from graph.models.ladder import make_ladder, warm
from graph.queue.executor import Executor
from graph.queue.model_calls import ModelCalls
from graph.record.events import next_event
from graph.runs.context import LateCalls, RunContext, RunPolicy, make_context
from graph.runs.quotas import Quotas
from graph.service import Runs
from graph.settings import Settings
from graph.state import RunState
from graph.state.row import Quota
from graph.storage.open import open_storage
from graph.storage.sqlite.ownership import ServerAddress
from graph.storage.storage import Storage, StorageError, StorageUnavailable
from nodes.approval.in_doubt import DoubtGate
from nodes.patterns.overlaps import overlapping_phrases
from nodes.planning.model import ModelLadder
from tools.loading import BUILTIN, load
from tools.registry import Tool, make_tools, undeclared, undeclared_words
from tools.threads import ToolThreads

logger = logging.getLogger("runwright.tools")


@asynccontextmanager
async def open_runs(
    settings: Settings,
    *,
    server: ServerAddress | None = None,
    resume_unfinished: bool = True,
    functions: Iterable[Callable[..., Any]] = (),
) -> AsyncIterator[Runs]:
    """Runs over the configured storage, executing for as long as the context lasts.

    `server` is where this process answers, for others that find the file in use. Without
    `resume_unfinished`, runs that an earlier process left stay as they are. `functions` become
    tools beside the configured ones. Raises `StorageError`, `FileOwned`, `InvalidTool` and
    `InvalidSettings`.
    """
    tools, ladder = open_tools(settings, functions), make_ladder(settings)
    for overlap in overlapping_phrases(tools):
        logger.warning("%s", overlap)
    if resume_unfinished and (names := undeclared(tools)):
        logger.warning("%s", undeclared_words(names))
    async with open_storage(settings.database_url, server=server) as storage:
        daily = _daily_budget(settings, storage)
        executor = Executor(
            slots=settings.max_executing,
            in_flight=settings.in_flight,
            max_queued=settings.max_queued,
        )
        calls = ModelCalls(settings.model_calls, executor.resting)
        if ladder:
            ladder = replace(ladder, turns=calls, budget_guard=daily)
        policy = RunPolicy(
            settings.limits, settings.approve, settings.approval_expires, _quotas(settings)
        )
        context = _context(settings, storage, tools, ladder, executor)
        runs = Runs(context, policy, ladder, daily_budget=daily, calls=calls)
        try:
            await runs.open(resume_unfinished=resume_unfinished)
        except storage.errors as error:
            raise StorageError(storage.faults.explained(error)) from error
        # Who leaves other runs alone does not remove them either.
        retention = _retention(settings, storage, runs) if resume_unfinished else None
        async with _warming(ladder), sweeping(retention):
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
) -> RunContext:
    threads = ToolThreads(settings.tool_threads)
    doubts = DoubtGate(settings.in_doubt, settings.approval_expires, next_event)
    graph = build_graph(
        tools,
        checkpointer=storage.saver,
        store=storage.store,
        limits=settings.limits,
        threads=threads,
        ladder=ladder,
        wait=executor.wait_until,
        without_slot=executor.without_slot,
        input_schema=RunState,
        approve=settings.approve,
        approval_expires=settings.approval_expires,
        doubts=doubts,
        learn=LateCalls(storage).learn,
        tool_errors=settings.tool_errors_told,
    )
    return make_context(graph, storage, executor, tools, threads, doubts)


def _quotas(settings: Settings) -> Quotas:
    return Quotas(
        posts=settings.posts_per_minute,
        retries=settings.retries_per_run,
        keeping=Quota(settings.kept_runs, settings.kept_bytes, settings.forks_per_run),
    )


def _daily_budget(settings: Settings, storage: Storage) -> DailyBudget | None:
    limit = DailyLimit(settings.daily_budget_usd, settings.daily_budget_tokens)
    return DailyBudget(limit, storage.spending) if limit else None


def _retention(settings: Settings, storage: Storage, runs: Runs) -> Retention | None:
    if not settings.retention:
        return None
    return Retention(
        storage.index,
        runs.remove_settled,
        days=settings.retention,
        errors=(StorageUnavailable, *storage.errors),
    )


@asynccontextmanager
async def _warming(ladder: ModelLadder | None) -> AsyncIterator[None]:
    """Load the models' client beside everything else, and close its connections at the end."""
    if ladder is None:
        yield
        return
    warming = asyncio.create_task(warm(ladder))
    try:
        yield
    finally:
        warming.cancel()
        await close_clients()


def open_tools(
    settings: Settings, functions: Iterable[Callable[..., Any]] = ()
) -> Mapping[str, Tool]:
    """The built-in tools, the user's own, and these functions. Raises `InvalidTool`."""
    return make_tools([*BUILTIN, *map(load, settings.tools), *functions])
