"""What a fleet's cost is compared with does what it stands for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.runs.prompt import PROMPT
from benchmarks.scale.bare import _graph


class Pool:
    """Keeps what is stored by the connections that it gives."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, int]] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Pool"]:
        yield self

    async def execute(self, _: str, values: tuple[int, int]) -> None:
        self.stored.append(values)


async def test_the_bare_engine_visits_as_many_nodes_and_stores_a_row_in_each_step():
    pool = Pool()
    graph = _graph("minimal", pool, None)
    thread = {"configurable": {"thread_id": "7"}}
    visited: list[Any] = [one async for one in graph.astream({"prompt": PROMPT}, thread)]
    assert [[*one] for one in visited] == [
        ["plan"],
        ["fallback_plan"],
        ["execute_step"],
        ["execute_step"],
        ["finalize"],
    ]
    assert visited[-1]["finalize"]["run"]["status"] == "completed"
    assert pool.stored == [(7, 0), (7, 1)]
