"""The composition root: everything is built here, from one settings object."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from graph.backends import open_storage
from graph.build import build_graph
from graph.daily_budget import DailyBudget, DailyLimit
from graph.engine import Engine, make_engine
from graph.executor import Executor
from graph.llm import close_clients
from graph.policy import RunPolicy
from graph.reader import StorageUnavailable
from graph.retention import Retention, sweeping
from graph.roster import make_roster, warm
from graph.runs import Runs
from graph.settings import Settings
from graph.state import RunState
from graph.storage import Storage
from nodes.planning.roster import Roster
from tools.builtin import BUILTIN
from tools.loading import load
from tools.registry import Tool, make_tools
from tools.threads import ToolThreads


@asynccontextmanager
async def open_runs(
    settings: Settings,
    *,
    server_url: str | None = None,
    take_up: bool = True,
    functions: Iterable[Callable[..., Any]] = (),
) -> AsyncIterator[Runs]:
    """Runs over the configured storage, executing for as long as the context lasts.

    `server_url` is where this process answers, for others that find the file in use. Without
    `take_up`, runs that an earlier process left stay as they are. `functions` become tools beside
    the configured ones. Raises `StorageError`, `FileOwned`, `InvalidTool` and `InvalidSettings`.
    """
    tools, roster = open_tools(settings, functions), make_roster(settings)
    async with open_storage(settings.database_url, server_url=server_url) as storage:
        daily = _daily_budget(settings, storage)
        if roster and daily:
            roster = replace(roster, purse=daily)
        policy = RunPolicy(settings.limits, settings.approve, settings.approval_expires)
        engine = _engine(settings, storage, tools, roster)
        runs = Runs(engine, policy, roster, daily_budget=daily)
        await runs.open(take_up=take_up)
        # Who leaves other runs alone does not remove them either.
        retention = _retention(settings, storage, runs) if take_up else None
        async with _warming(roster), sweeping(retention):
            try:
                yield runs
            finally:
                await runs.close(settings.grace)


def _engine(
    settings: Settings, storage: Storage, tools: Mapping[str, Tool], roster: Roster | None
) -> Engine:
    executor = Executor(slots=settings.max_executing, max_queued=settings.max_queued)
    threads = ToolThreads(settings.tool_threads)
    graph = build_graph(
        tools,
        checkpointer=storage.saver,
        store=storage.store,
        limits=settings.limits,
        threads=threads,
        roster=roster,
        wait=executor.wait_until,
        input_schema=RunState,
        approve=settings.approve,
        approval_expires=settings.approval_expires,
    )
    return make_engine(graph, storage, executor, tools, threads)


def _daily_budget(settings: Settings, storage: Storage) -> DailyBudget | None:
    limit = DailyLimit(settings.daily_budget_usd, settings.daily_budget_tokens)
    return DailyBudget(limit, storage.spending) if limit else None


def _retention(settings: Settings, storage: Storage, runs: Runs) -> Retention | None:
    if not settings.retention:
        return None
    return Retention(
        storage.index,
        runs.remover.remove_settled,
        days=settings.retention,
        errors=(StorageUnavailable, *storage.errors),
    )


@asynccontextmanager
async def _warming(roster: Roster | None) -> AsyncIterator[None]:
    """Load the models' client beside everything else, and close its connections at the end."""
    if roster is None:
        yield
        return
    warming = asyncio.create_task(warm(roster))
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
