"""Real runs over a file of their own, of which none begins: they are accepted, and stay queued."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from uuid import uuid4

from graph.build import RunGraph, build_graph
from graph.queue.executor import Executor
from graph.runs.accept import RunPolicy
from graph.runs.context import make_context
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, Channels, Status
from graph.state.row import NO_QUOTA, RunRow
from graph.storage.open import open_storage
from graph.storage.search import Search
from tests.support.runs.run_states import CREATED_AT
from tools.registry import ToolCall, make_tools, tool
from tools.toolbox import Tool


@tool("notes.add", idempotent=True, attempts=4)
async def add_note(text: str, call: ToolCall) -> str:
    """Write a note down."""
    return text


@cache
def note_tools() -> Mapping[str, Tool]:
    """The one tool that plans of these runs may have."""
    return make_tools([add_note])


@cache
def _graph() -> RunGraph:
    return build_graph(note_tools(), input_schema=Channels)


@asynccontextmanager
async def still_runs(database_url: str) -> AsyncIterator[Runs]:
    """Runs as a process has them that has no slot to execute any."""
    async with open_storage(database_url) as storage:
        executor = Executor(slots=0, max_queued=1000)
        graph = _graph().copy({"checkpointer": storage.saver, "store": storage.store})
        context = make_context(graph, storage, executor, note_tools())
        runs = Runs(context, RunPolicy(DEFAULT_LIMITS))
        await runs.open(resume_unfinished=False)
        try:
            yield runs
        finally:
            await runs.close(grace=0)


async def keep(runs: Runs, prompt: str, status: Status, owner: str = "default") -> str:
    """Keep the row of a run that was accepted long ago and is there by now; its id."""
    row = RunRow(
        run_id=str(uuid4()),
        owner=owner,
        prompt=prompt,
        limits=DEFAULT_LIMITS,
        created_at=CREATED_AT,
        status=status,
    )
    await runs._context.storage.index.accept(row, NO_QUOTA)
    return row.run_id


async def number_of(runs: Runs, owner: str = "default") -> int:
    """How many runs an owner has."""
    return (await runs.search(owner, Search()))["total"]


def watched(runs: Runs) -> set[str]:
    """The runs that somebody watches."""
    live = ((one.run_id, one.subscription) for one in runs._context.live)
    return {run_id for run_id, subscription in live if subscription and subscription.watchers}
