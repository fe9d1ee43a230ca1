"""LangGraph alone: the same graph, `ainvoke` on the stock SQLite saver and store, no server.

`python -m benchmarks.runs.bare RUNS CLIENTS` prints CPU milliseconds per run.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.sqlite.aio import AsyncSqliteStore

from benchmarks.runs.prompt import PROMPT
from graph.build import RunGraph, build_graph
from graph.compose import open_tools
from graph.settings import Settings
from graph.state import Channels


async def measure(runs: int, clients: int) -> float:
    """CPU milliseconds per run, every thread of this process included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bare.db"
        async with (
            aiosqlite.connect(path) as saver_connection,
            aiosqlite.connect(path, isolation_level=None) as store_connection,
        ):
            saver, store = AsyncSqliteSaver(saver_connection), AsyncSqliteStore(store_connection)
            await saver.setup()
            await store.setup()
            for connection in (saver_connection, store_connection):
                await connection.execute_fetchall("PRAGMA synchronous=NORMAL")
            graph = build_graph(
                open_tools(Settings()), checkpointer=saver, store=store, input_schema=Channels
            )
            await one(graph)
            before = time.process_time()
            rest = iter(range(runs))
            await asyncio.gather(*(client(graph, rest) for _ in range(clients)))
            return (time.process_time() - before) * 1000 / runs


async def client(graph: RunGraph, rest: Iterator[int]) -> None:
    for _ in rest:
        await one(graph)


async def one(graph: RunGraph) -> None:
    config = {"configurable": {"thread_id": str(uuid4())}}
    state = await graph.ainvoke({"prompt": PROMPT}, config, durability="sync")
    assert state["run"]["status"] == "completed", state["run"]["error"]


if __name__ == "__main__":
    print(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2]))))
