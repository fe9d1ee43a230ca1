"""What an owner may keep holds over all processes that accept runs for them at the same time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import IdempotencyKey, Quota, RunRow
from graph.storage.open import open_storage
from graph.storage.postgres.connection import SCHEMA
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import until

#: Who has this row is waited for by whoever inserts a run of the owner.
HOLD = f"""
    SET search_path TO {SCHEMA};
    INSERT INTO owners AS one (owner, last, runs) VALUES ('ada', 0, 0)
    ON CONFLICT (owner) DO UPDATE SET runs = one.runs
"""

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

#: Accepts a run at a process.
Accept = Callable[[Storage, RunRow, Quota], Coroutine[Any, Any, bool]]

NAMES = (f"key {number}" for number in count())


async def plainly(storage: Storage, row: RunRow, quota: Quota) -> bool:
    return await storage.index.accept(row, quota)


async def once(storage: Storage, row: RunRow, quota: Quota) -> bool:
    key = IdempotencyKey(name=next(NAMES), fingerprint="any")
    return await storage.index.accept_once(row, key, quota) is not None


@pytest.fixture
async def storages(postgres: PostgresServer) -> AsyncIterator[list[Storage]]:
    """What three processes have of one database, in which nothing is."""
    url = postgres.empty()
    async with AsyncExitStack() as stack:
        opening = [open_storage(url, shared=True) for _ in range(3)]
        yield [await stack.enter_async_context(one) for one in opening]


def row(forked_from: str | None = None) -> RunRow:
    return RunRow(
        run_id=str(uuid4()),
        owner="ada",
        prompt="x" * 10,
        limits=DEFAULT_LIMITS,
        created_at=time.time(),
        forked_from=forked_from,
    )


async def accepted_at_once(
    postgres: PostgresServer, accepting: Sequence[Coroutine[Any, Any, object]]
) -> int:
    """How many are accepted of what all have begun to write before any of it is."""
    with psycopg.connect(postgres.url) as other:
        other.execute(HOLD.encode())
        tasks = [asyncio.create_task(one) for one in accepting]
        await until(lambda: len(postgres.execute(WAITING)) == len(tasks))
        other.rollback()
    return sum(map(bool, await asyncio.gather(*tasks)))


@pytest.mark.parametrize("accept", [plainly, once])
@pytest.mark.parametrize(
    ("quota", "before"),
    [(Quota(runs=1), 0), (Quota(runs=3), 2), (Quota(bytes=25), 2)],
    ids=["the first run", "runs", "bytes"],
)
async def test_the_last_run_that_may_be_kept_is_accepted_once_however_many_processes_are_asked(
    storages: list[Storage], postgres: PostgresServer, quota: Quota, before: int, accept: Accept
) -> None:
    for _ in range(before):
        assert await accept(storages[0], row(), quota)
    accepting = [accept(one, row(), quota) for one in storages]
    assert await accepted_at_once(postgres, accepting) == 1
    assert (await storages[0].index.kept("ada")).runs == before + 1
    assert not await accept(storages[1], row(), quota)


async def test_the_last_fork_of_a_run_is_made_once_however_many_processes_are_asked(
    storages: list[Storage], postgres: PostgresServer
) -> None:
    origin, quota = row(), Quota(forks=2)
    assert await plainly(storages[0], origin, quota)
    forks = [row(origin.run_id) for _ in range(4)]
    assert await plainly(storages[0], forks[0], quota)
    accepting = [plainly(one, fork, quota) for one, fork in zip(storages, forks[1:], strict=True)]
    assert await accepted_at_once(postgres, accepting) == 1
    assert len(await storages[1].index.forks(origin.run_id)) == 2
