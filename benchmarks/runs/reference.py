"""A graph on LangGraph's stock SQLite saver, without a server, in a process of its own.

`python -m benchmarks.runs.reference frozen|minimal asyncio|uvloop` reads lines `RUNS CLIENTS` and
answers each with the CPU milliseconds that one of these runs took.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

GRAPHS, LOOPS = ("frozen", "minimal"), ("asyncio", "uvloop")

#: Runs before anything is measured.
WARM = 10


class Reference:
    """Such a process, as the benchmark has it."""

    def __init__(self, graph: str, loop: str) -> None:
        command = [sys.executable, "-m", "benchmarks.runs.reference", graph, loop]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def cpu_ms(self, runs: int, clients: int) -> float:
        """CPU milliseconds of one run, every thread of the process included."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{runs} {clients}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """End the process, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(15)


@contextmanager
def reference(graph: str, loop: str) -> Iterator[Reference]:
    """A reference that is warm, ended afterwards."""
    started = Reference(graph, loop)
    try:
        started.cpu_ms(WARM, 1)
        yield started
    finally:
        started.end()


# In that process.


@asynccontextmanager
async def _opened(kind: str) -> AsyncIterator[Any]:
    """The graph, over a fresh file."""
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.store.sqlite.aio import AsyncSqliteStore

    from benchmarks.runs.frozen import frozen_graph
    from benchmarks.runs.minimal import minimal_graph

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.db"
        async with (
            aiosqlite.connect(path) as for_saver,
            aiosqlite.connect(path, isolation_level=None) as for_store,
        ):
            saver, store = AsyncSqliteSaver(for_saver), AsyncSqliteStore(for_store)
            await saver.setup()
            await store.setup()
            for connection in (for_saver, for_store):
                await connection.execute_fetchall("PRAGMA synchronous=NORMAL")
            yield frozen_graph(saver, store) if kind == "frozen" else minimal_graph(saver)


async def _serve(kind: str) -> None:
    async with _opened(kind) as graph:
        while line := await asyncio.to_thread(sys.stdin.readline):
            runs, clients = map(int, line.split())
            rest = iter(range(runs))
            before = time.process_time()
            await asyncio.gather(*(_client(kind, graph, rest) for _ in range(clients)))
            print((time.process_time() - before) * 1000 / runs, flush=True)


async def _client(kind: str, graph: Any, rest: Iterator[int]) -> None:
    from benchmarks.runs.prompt import PROMPT

    for _ in rest:
        config = {"configurable": {"thread_id": str(uuid4())}}
        given = {"prompt": PROMPT} | ({"owner": uuid4().hex} if kind == "frozen" else {})
        state = await graph.ainvoke(given, config, durability="sync")
        ended = state if kind == "frozen" else state["run"]
        assert ended["status"] == "completed"


def main() -> None:
    kind, loop = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        factory: Any = uvloop.new_event_loop
    else:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(kind))


if __name__ == "__main__":
    main()
