"""The composition root: everything is built here, from one settings object."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from graph.build import build_graph
from graph.executor import Executor
from graph.runs import Runs
from graph.settings import Settings
from graph.state import RunState
from graph.storage import open_storage
from tools.builtin import BUILTIN
from tools.loading import load
from tools.registry import Tool, make_tools
from tools.threads import ToolThreads


@asynccontextmanager
async def open_runs(
    settings: Settings, *, server_url: str | None = None, take_up: bool = True
) -> AsyncIterator[Runs]:
    """Runs over the configured storage, executing for as long as the context lasts.

    `server_url` is where this process answers, for others that find the file in use. Without
    `take_up`, runs that an earlier process left stay as they are. Raises `StorageError`,
    `FileOwned` and `InvalidTool`.
    """
    tools = open_tools(settings)
    async with open_storage(settings.database_url, server_url=server_url) as storage:
        executor = Executor(slots=settings.max_executing, max_queued=settings.max_queued)
        graph = build_graph(
            tools,
            checkpointer=storage.saver,
            store=storage.store,
            limits=settings.limits,
            threads=ToolThreads(settings.tool_threads),
            wait=executor.wait_until,
            input_schema=RunState,
        )
        runs = Runs(graph, storage, tools, settings.limits, executor)
        await runs.open(take_up=take_up)
        try:
            yield runs
        finally:
            await runs.close(settings.grace)


def open_tools(settings: Settings) -> Mapping[str, Tool]:
    """The built-in tools and the user's own. Raises `InvalidTool`."""
    return make_tools([*BUILTIN, *map(load, settings.tools)])
