"""News between processes, and what is heard where they are not what they were."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from graph.storage.fleet import News
from graph.storage.postgres.connection import PostgresReader, connecting, execute
from graph.storage.postgres.jobs import PostgresJobs
from graph.storage.postgres.notices import LATE, PostgresNotices
from graph.storage.postgres.ownership import APPLICATION, OWNER
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import patience, until

#: The processes of Postgres whose connections hear.
LISTENING = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    f" AND classid = {APPLICATION} AND objid = {OWNER}"
)


class SlowReader(PostgresReader):
    """Answers what was asked only after it was heard."""

    def __init__(self, url: str) -> None:
        super().__init__(connecting(url), 1)
        self.heard, self.answered = asyncio.Event(), asyncio.Event()

    async def execute_fetchall(self, sql: str, parameters: Iterable[Any] = (), /) -> Sequence[Any]:
        rows = await super().execute_fetchall(sql, parameters)
        await self.heard.wait()
        self.answered.set()
        return rows


async def test_what_is_heard_before_it_is_told_to_the_end_is_not_lost(
    postgres: PostgresServer,
) -> None:
    connections = SlowReader(postgres.empty())
    notices = PostgresNotices(connecting(postgres.url), connections)
    assert await notices.share()
    async with notices.hearing(lambda *_: connections.heard.set()):
        notices.tell("one", "ordered")
        await asyncio.wait_for(connections.answered.wait(), patience())
        await asyncio.sleep(LATE)
        assert not notices.deaf
    await notices.aclose()
    await connections.aclose()


async def test_where_closing_is_given_up_no_connection_is_left(postgres: PostgresServer) -> None:
    connections = SlowReader(postgres.empty())
    notices = PostgresNotices(connecting(postgres.url), connections)
    assert await notices.share()
    notices.tell("one", "ordered")
    closing = asyncio.create_task(notices.aclose())
    await asyncio.sleep(0)
    assert not notices.deaf
    closing.cancel()
    await asyncio.wait([closing])
    assert notices.deaf
    connections.heard.set()
    await notices.aclose()
    await connections.aclose()


async def test_a_process_ends_that_lost_the_database_to_one_that_has_it_alone(
    postgres: PostgresServer,
) -> None:
    ended = asyncio.Event()
    connections = PostgresReader(connecting(postgres.empty()), 1)
    notices = PostgresNotices(connecting(postgres.url), connections, ended.set)
    assert await notices.share()
    async with await connecting(postgres.url)() as other:
        having = asyncio.create_task(
            execute(other, "SELECT pg_advisory_lock(?, ?)", (APPLICATION, OWNER))
        )
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await until(lambda: postgres.execute(waits))
        async with notices.hearing(lambda *_: None):
            postgres.cut(f"pid IN ({LISTENING})")
            await having
            await asyncio.wait_for(ended.wait(), patience())
    await notices.aclose()
    await connections.aclose()


async def test_what_changes_is_heard_only_from_when_it_is_followed(
    postgres: PostgresServer,
) -> None:
    connections = PostgresReader(connecting(postgres.empty()), 1)
    notices = PostgresNotices(connecting(postgres.url), connections)
    heard: list[tuple[News, str]] = []
    assert await notices.share()
    async with notices.hearing(lambda *news: heard.append(news)):
        notices.tell("before")
        notices.tell("job", "queued")
        await until(lambda: ("queued", "job") in heard)
        await asyncio.sleep(LATE)
        assert not notices.deaf  # what nobody here hears is not missed
        assert ("changed", "before") not in heard

        notices.follow()
        await until(lambda: ("missed", "") in heard)
        notices.tell("after")
        await until(lambda: ("changed", "after") in heard)

        heard.clear()
        postgres.cut(f"pid IN ({LISTENING})")
        await until(lambda: ("missed", "") in heard)
        notices.tell("again")
        await until(lambda: ("changed", "again") in heard)
    await notices.aclose()
    await connections.aclose()


async def test_a_job_is_told_to_one_worker_that_lives_and_does_least_or_else_to_all(
    postgres: PostgresServer,
) -> None:
    connections = PostgresReader(connecting(postgres.empty()), 1)
    jobs = PostgresJobs(connections)
    one, other, silent = [await jobs.join() for _ in range(3)]
    postgres.execute(
        "UPDATE runwright.procrastinate_workers SET last_heartbeat = now() - interval '1 h'"
        " WHERE id = %s",
        silent,
    )
    heard: dict[int, list[str]] = {one: [], other: [], silent: []}
    async with AsyncExitStack() as stack:
        for worker in heard:
            notices = PostgresNotices(connecting(postgres.url), connections)
            stack.push_async_callback(notices.aclose)
            notices.work_as(worker)
            assert await notices.share()
            seen = heard[worker]
            hear = partial(_note, seen)
            await stack.enter_async_context(notices.hearing(hear))

        for number in range(4):  # at once
            notices.tell(str(number), "queued")
        await until(lambda: sum(map(len, heard.values())) == 4)
        assert [len(heard[worker]) for worker in (one, other, silent)] == [2, 2, 0]

        postgres.execute(
            "INSERT INTO runwright.procrastinate_jobs (queue_name, task_name, status, worker_id)"
            " VALUES ('runs', 'run', 'doing', %s)",
            one,
        )
        for number in range(4, 8):  # one after the other
            notices.tell(str(number), "queued")
            await until(lambda number=number: str(number) in heard[other])
        assert len(heard[one]) == 2

        notices.tell("", "queued")
        await until(lambda: all("" in seen for seen in heard.values()))
        await jobs.leave(one)
        await jobs.leave(other)
        notices.tell("last", "queued")
        await until(lambda: all("last" in seen for seen in heard.values()))
    await connections.aclose()


def _note(seen: list[str], news: News, run_id: str) -> None:
    if news == "queued":
        seen.append(run_id)
