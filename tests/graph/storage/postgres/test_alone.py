"""Of two processes that let a run begin alone in a thread, the second sees what the first wrote."""

import asyncio

import psycopg

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.storage.postgres.connection import SCHEMA
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import until

#: What another process has written of the thread, and not committed as yet.
ANOTHER = """
    INSERT INTO runs (run_id, owner, prompt, words, limits, created_at, status, starts, thread_id)
    SELECT 'b', owner, prompt, words, limits, created_at, 'pending', 1, thread_id
    FROM runs WHERE run_id = 'a'
"""


def row(run_id: str, thread_id: str | None = None) -> RunRow:
    return RunRow(
        run_id=run_id,
        owner="me",
        prompt="task",
        limits=DEFAULT_LIMITS,
        created_at=1e9,
        thread_id=thread_id,
        alone=True,
    )


async def test_it_waits_for_what_is_being_written_of_the_owner_before_it_looks(
    postgres: PostgresServer,
) -> None:
    url = postgres.empty()
    async with open_storage(url) as storage:
        await storage.index.accept(row("a"))
        for status in ("running", "completed"):
            ends = 2e9 if status == "completed" else None
            await storage.index.project("a", status, started_at=1e9, completed_at=ends)
        with psycopg.connect(url) as other:
            other.execute(f"SET search_path TO {SCHEMA}".encode())
            other.execute(ANOTHER.encode())
            accepting = asyncio.create_task(storage.index.accept(row("c", "a")))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await until(lambda: postgres.execute(waiting))
            other.commit()
        assert not await accepting
        assert [run for run, _ in await storage.threads.members("a", None)] == ["a", "b"]
