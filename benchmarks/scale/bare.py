"""The bare engine: Procrastinate's own worker and LangGraph's own saver, with the least beside.

`python -m benchmarks.scale.bare server|worker minimal|frozen` is one process of it. A POST stores
a run and its job in one transaction; a worker executes the graph with a saver of its own for each
run, over a shared pool, each write of which looks whether the job is still held. `minimal` visits
as many nodes as our graph and stores a row in each step; `frozen` plans and calls tools as ours.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale.database import Database, free_port
from benchmarks.scale.process import Process, Request, answers

#: What our workers have by default.
SLOTS = 24

#: After which silence a worker is taken for dead, in seconds.
LEASE = 5.0

_TABLES = """
    CREATE TABLE runs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, prompt text, created_at float8,
        started_at float8, status text NOT NULL DEFAULT 'pending'
    );
    CREATE INDEX runs_pending ON runs (id) WHERE status = 'pending';
    CREATE TABLE effects (run_id bigint, step integer, PRIMARY KEY (run_id, step));
    CREATE FUNCTION run_fence(mine bigint, at integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM 1 FROM procrastinate_jobs
        WHERE id = mine AND status = 'doing' AND attempts = at FOR SHARE;
        IF NOT FOUND THEN RAISE EXCEPTION 'lease lost'; END IF;
    END $$
"""


class Bare:
    """As `System`."""

    def __init__(self, database: Database, name: str, folder: Path, workers: int, kind: str):
        self.observer = database.observed(name)
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        settings = {"DATABASE_URL": database.url_of(name), "PORT": str(port)}

        def start(part: str) -> Process:
            command = [sys.executable, "-m", "benchmarks.scale.bare", part, kind]
            if part == "server":
                return Process(command, folder, settings, lambda _: answers(f"{self._url}/health"))
            return Process(command, folder, settings, lambda log: "working" in log)

        self.processes = [start("server"), *(start("worker") for _ in range(workers))]

    def posts(self, number: int) -> list[Request]:
        from benchmarks.runs.prompt import PROMPT

        return [Request(self._url, "/runs", {"prompt": PROMPT})]

    def unsettled(self) -> int:
        failed = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'"
        sql = f"SELECT (SELECT count(*) FROM runs WHERE status = 'pending'), ({failed})"
        [(count, broken)] = self.observer.execute(sql)
        assert not broken, broken
        return int(count)

    def waits(self) -> list[float]:
        sql = "SELECT started_at - created_at FROM runs ORDER BY id"
        rows = self.observer.execute(sql)
        return [seconds * 1000 for (seconds,) in rows]


@contextmanager
def bare(database: Database, workers: int, kind: str = "minimal") -> Iterator[Bare]:
    """On a database of its own, which is removed afterwards."""
    from importlib.resources import files

    name = f"bare_{kind}_{workers}"
    database.execute(f"CREATE DATABASE {name}", database="postgres")
    database.execute(
        files("procrastinate").joinpath("sql", "schema.sql").read_text(), database=name
    )
    database.execute(_TABLES, database=name)
    asyncio.run(_set_up(database.url_of(name)))
    with tempfile.TemporaryDirectory() as folder:
        started = Bare(database, name, Path(folder), workers, kind)
        try:
            yield started
        finally:
            for process in started.processes:
                process.end()
            started.observer.close()
            database.execute(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


async def _set_up(url: str) -> None:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.store.postgres.aio import AsyncPostgresStore

    async with (
        AsyncPostgresSaver.from_conn_string(url) as saver,
        AsyncPostgresStore.from_conn_string(url) as store,
    ):
        await saver.setup()
        await store.setup()


# In those processes.


def _application() -> Any:
    from procrastinate import App, PsycopgConnector

    return App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=10))


def _serve() -> None:
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    queue = _application()

    class Body(BaseModel):
        prompt: str

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        async with queue.open_async():
            yield

    api = FastAPI(lifespan=opened)

    @api.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @api.post("/runs", status_code=201)
    async def post(body: Body) -> dict[str, Any]:
        async with queue.connector.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(
                "INSERT INTO runs (prompt, created_at) VALUES (%s, %s) RETURNING id",
                (body.prompt, time.time()),
            )
            [run_id] = await cursor.fetchone()
            await queue.configure_task(
                "run", queue="runs", lock=str(run_id), connection=connection
            ).defer_async(run_id=run_id)
        return {"run_id": run_id, "status": "pending"}

    uvicorn.run(
        api, port=int(os.environ["PORT"]), loop="uvloop", http="httptools", log_level="warning"
    )


async def _work(kind: str) -> None:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.store.postgres.aio import AsyncPostgresStore
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    queue = _application()
    url = os.environ["DATABASE_URL"]

    class Fenced(AsyncPostgresSaver):
        fence: tuple[int, int]

        @asynccontextmanager
        async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[Any]:
            async with super()._cursor(pipeline=pipeline) as cursor:
                if pipeline:
                    await cursor.execute("SELECT run_fence(%s, %s)", self.fence)
                yield cursor

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with (
        AsyncConnectionPool(url, min_size=4, max_size=10, kwargs=options, open=False) as pool,
        queue.open_async(),
    ):
        store = AsyncPostgresStore(pool)  # type: ignore[arg-type]
        graph = _graph(kind, pool, store)

        @queue.task(name="run", queue="runs", pass_context=True)
        async def run(context: Any, run_id: int) -> None:
            saver = Fenced(pool)  # type: ignore[arg-type]
            saver.fence = (context.job.id, context.job.attempts)
            async with pool.connection() as connection:
                cursor = await connection.execute(
                    "UPDATE runs SET started_at = %s WHERE id = %s RETURNING prompt",
                    (time.time(), run_id),
                )
                prompt = (await cursor.fetchone())["prompt"]
            config = {"configurable": {"thread_id": str(run_id)}}
            mine = graph.copy({"checkpointer": saver})
            given = {"prompt": prompt} | ({"owner": str(run_id)} if kind == "frozen" else {})
            snapshot = await mine.aget_state(config)
            if not snapshot.created_at or snapshot.tasks:
                await mine.ainvoke(
                    None if snapshot.created_at else given, config, durability="sync"
                )
            async with pool.connection() as connection:
                await connection.execute("UPDATE runs SET status = 'done' WHERE id = %s", (run_id,))

        guarding = asyncio.create_task(_guard(queue, pool))
        print("working", flush=True)
        await queue.run_worker_async(
            queues=["runs"],
            concurrency=SLOTS,
            update_heartbeat_interval=1,
            stalled_worker_timeout=LEASE,
            fetch_job_polling_interval=1,
            abort_job_polling_interval=1,
            shutdown_graceful_timeout=5,
            delete_jobs="successful",
        )
        guarding.cancel()


async def _guard(queue: Any, pool: Any) -> None:
    """Look each second for jobs of workers that died."""
    while True:
        async with pool.connection() as connection, connection.transaction():
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(7301) AS mine")
            if (await cursor.fetchone())["mine"]:
                for job in await queue.job_manager.get_stalled_jobs(
                    queue="runs", seconds_since_heartbeat=LEASE
                ):
                    await queue.job_manager.retry_job(job)
        await asyncio.sleep(1)


def _graph(kind: str, pool: Any, store: Any) -> Any:
    """The graph, without a saver."""
    if kind == "frozen":
        from langgraph.checkpoint.memory import InMemorySaver

        from benchmarks.runs.frozen import frozen_graph

        return frozen_graph(InMemorySaver(), store)
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph import END, START, StateGraph

    from benchmarks.runs import minimal

    async def execute_step(state: minimal.MinimalState, config: RunnableConfig) -> dict[str, Any]:
        async with pool.connection() as connection:
            await connection.execute(
                "INSERT INTO effects VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (int(config["configurable"]["thread_id"]), state["run"]["cursor"]),
            )
        return await minimal.execute_step(state)

    builder = StateGraph(minimal.MinimalState)
    for node in (minimal.plan, minimal.fallback_plan, minimal.finalize):
        builder.add_node(node)
    builder.add_node("execute_step", execute_step)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", minimal.after_plan)
    builder.add_conditional_edges("fallback_plan", minimal.after_fallback_plan)
    builder.add_conditional_edges("execute_step", minimal.after_step)
    builder.add_edge("finalize", END)
    return builder.compile()


if __name__ == "__main__":
    part, kind = sys.argv[1:]
    if part == "server":
        _serve()
    else:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(kind))
