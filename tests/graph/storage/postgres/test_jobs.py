"""Jobs that processes share: one has a run at a time, and who had it before can do nothing."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import IdempotencyKey, RetryCommand, RunRow
from graph.storage.fleet import (
    AnswerPart,
    Finished,
    Fleet,
    Lease,
    LeaseLost,
    QueuedRun,
    is_heard,
    lease,
    without_lease,
)
from graph.storage.open import open_storage
from graph.storage.postgres.jobs import _LOAD
from graph.storage.records import DatabaseOwned
from graph.storage.storage import Storage, StorageError
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import patience, until

#: Procrastinate's functions look for its tables on the path.
IN_SCHEMA = "SET search_path = runwright;"


@pytest.fixture
async def shared(postgres: PostgresServer) -> AsyncIterator[Storage]:
    """A database that processes share, with nothing in it."""
    async with open_storage(postgres.empty(), shared=True) as storage:
        yield storage


@pytest.fixture
def fleet(shared: Storage) -> Fleet:
    assert shared.fleet is not None
    return shared.fleet


def row(**given: object) -> RunRow:
    fields = {"run_id": str(uuid4()), "owner": "ada", "prompt": "what is 2 + 3"}
    fields |= {"limits": DEFAULT_LIMITS, "created_at": time.time(), **given}
    return RunRow(**fields)  # type: ignore[arg-type]


async def taken(storage: Storage, worker: int) -> QueuedRun:
    assert storage.fleet is not None
    found = await storage.fleet.jobs.take(worker, orders_only=False)
    assert found is not None
    return found


@asynccontextmanager
async def under(mine: Lease) -> AsyncIterator[None]:
    token = lease.set(mine)
    try:
        yield
    finally:
        lease.reset(token)


async def test_an_accepted_run_has_one_job_whoever_takes_it(shared: Storage, fleet: Fleet) -> None:
    one, other = await fleet.jobs.join(), await fleet.jobs.join()
    accepted = row()
    assert await shared.index.accept(accepted)
    found = await taken(shared, one)
    assert (found.run_id, found.new, found.lease.attempts) == (accepted.run_id, True, 0)
    assert await fleet.jobs.take(other, orders_only=False) is None


async def test_no_transaction_that_writes_a_run_or_its_job_notifies(
    shared: Storage, postgres: PostgresServer
) -> None:
    """It would hold a lock of the whole database until it is on disk."""
    found = postgres.execute(
        "SELECT tgname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        " WHERE prosrc LIKE '%pg_notify%' AND pg_get_triggerdef(pg_trigger.oid) LIKE '%INSERT%'"
    )
    assert found == []


async def test_a_request_made_twice_has_one_job(shared: Storage, fleet: Fleet) -> None:
    key = IdempotencyKey(name="k", fingerprint="f")
    await shared.index.accept_once(row(), key)
    await shared.index.accept_once(row(), key)
    assert await fleet.jobs.waiting() == 1


async def test_who_had_a_job_before_writes_nothing(shared: Storage, fleet: Fleet) -> None:
    worker = await fleet.jobs.join()
    accepted = row()
    await shared.index.accept(accepted)
    first = await taken(shared, worker)
    async with under(first.lease):
        await shared.index.note_start(accepted.run_id, starts=2, checkpoint_id=None)
    await fleet.jobs.give_back(first.lease, failed=True)
    assert (await taken(shared, worker)).lease.job == first.lease.job
    async with under(first.lease):
        with pytest.raises(LeaseLost):
            await shared.index.note_start(accepted.run_id, starts=7, checkpoint_id=None)
        with pytest.raises(LeaseLost):
            await shared.store.aput(("todos", "ada"), "one", {"text": "milk"})
        with without_lease():
            await shared.store.aput(("todos", "ada"), "two", {"text": "tea"})
    found = await shared.index.find(accepted.run_id)
    assert found is not None
    assert found.starts == 2
    assert [item.key for item in await shared.store.asearch(("todos", "ada"))] == ["two"]


async def test_a_refused_write_does_not_fail_those_beside_it(shared: Storage) -> None:
    async with under(Lease(0, 0)):
        refused = shared.index.note_start("x", starts=7, checkpoint_id=None)
        with pytest.raises(LeaseLost):
            await refused
    accepted = row()
    assert await shared.index.accept(accepted)


async def test_who_had_a_job_before_does_not_end_it(shared: Storage, fleet: Fleet) -> None:
    worker = await fleet.jobs.join()
    await shared.index.accept(row())
    first = await taken(shared, worker)
    await fleet.jobs.give_back(first.lease)
    second = await taken(shared, worker)
    assert second.lease == replace(first.lease, attempts=1)
    await fleet.jobs.finish(first.lease, first.run_id)
    await fleet.jobs.give_back(first.lease)
    assert [held.lease for held in await fleet.jobs.held([first.lease, second.lease])] == [
        second.lease
    ]


async def test_a_thread_is_at_one_run_also_while_none_of_it_has_begun(
    shared: Storage, fleet: Fleet
) -> None:
    one, other = await fleet.jobs.join(), await fleet.jobs.join()
    earlier = row()
    later = row(thread_id=earlier.run_id)
    await shared.index.accept(earlier)
    first = await taken(shared, one)
    times = {"started_at": 1.0, "completed_at": 2.0}
    assert await shared.index.project(earlier.run_id, "failed", **times)
    await fleet.jobs.finish(first.lease, earlier.run_id)
    await shared.index.accept(later)
    second = await taken(shared, one)
    assert second.run_id == later.run_id
    assert second.begins

    # The earlier one is retried before the row of the later one says that it has begun.
    command = RetryCommand(from_step=None, input=None, skip=[], generation=1, by="ada", at=3.0)
    assert await shared.index.request_retry(earlier.run_id, command)
    third = await taken(shared, other)
    assert third.run_id == earlier.run_id
    assert not third.begins
    await fleet.jobs.give_back(second.lease)
    assert (await fleet.jobs.finish(third.lease, earlier.run_id)).more
    fourth = await taken(shared, one)
    assert (fourth.run_id, fourth.begins) == (later.run_id, False)
    await fleet.jobs.finish(fourth.lease, earlier.run_id)
    fifth = await taken(shared, other)
    assert (fifth.run_id, fifth.begins) == (earlier.run_id, True)


async def test_who_gives_a_job_back_in_order_has_not_died_of_it(
    shared: Storage, fleet: Fleet
) -> None:
    worker = await fleet.jobs.join()
    accepted = row()
    await shared.index.accept(accepted)
    for failed, starts in ((True, 0), (False, -1)):
        mine = await taken(shared, worker)
        await fleet.jobs.give_back(mine.lease, failed=failed)
        found = await shared.index.find(accepted.run_id)
        assert found is not None
        assert found.starts == starts


async def test_a_run_that_waits_for_an_attempt_is_taken_when_that_is_due_or_hurried(
    shared: Storage, fleet: Fleet
) -> None:
    worker = await fleet.jobs.join()
    accepted, due = row(), time.time() + 3600.1
    await shared.index.accept(accepted)
    first = await taken(shared, worker)
    assert first.begins
    assert await fleet.jobs.hurry(accepted.run_id, due - 60)  # of an attempt before
    await fleet.jobs.give_back(first.lease, pause=3600, due=due)
    assert await fleet.jobs.take(worker, orders_only=False) is None
    other = row()
    await shared.index.accept(other)
    assert await fleet.jobs.position(other.run_id) == 1  # what waits so is before nobody
    assert (await fleet.jobs.waiting(), await fleet.jobs.waiting(due=True)) == (2, 1)

    assert await fleet.jobs.hurry(accepted.run_id, due)
    second = await taken(shared, worker)
    assert (second.run_id, second.waited) == (accepted.run_id, True)
    assert [held.hurried for held in await fleet.jobs.held([second.lease])] == [due]
    assert second.begins
    # Hurried while its worker was about to give it back: it is taken again at once.
    await fleet.jobs.give_back(second.lease, pause=3600, due=due)
    third = await taken(shared, worker)
    assert (third.run_id, third.waited) == (accepted.run_id, True)
    # Once it was begun again, whoever takes it next is to know that somebody may have died of it.
    assert third.begins
    await fleet.jobs.give_back(third.lease)
    fourth = await taken(shared, worker)
    assert (fourth.run_id, fourth.waited) == (accepted.run_id, False)


async def test_an_order_about_a_run_that_is_executed_waits_until_it_is_not(
    shared: Storage, fleet: Fleet
) -> None:
    worker = await fleet.jobs.join()
    accepted = row()
    await shared.index.accept(accepted)
    first = await taken(shared, worker)
    assert await shared.index.request_cancel(accepted.run_id, at=1.0, by="ada")
    assert await fleet.jobs.take(worker, orders_only=False) is None
    assert [held.cancelled for held in await fleet.jobs.held([first.lease])] == [True]
    # Given back, the order's job goes on in its place, and knows that the run was begun.
    await fleet.jobs.give_back(first.lease)
    second = await taken(shared, worker)
    assert (second.run_id, second.new, second.lease.attempts) == (accepted.run_id, False, 1)


async def test_orders_come_before_runs(shared: Storage, fleet: Fleet) -> None:
    worker = await fleet.jobs.join()
    first, second = row(), row()
    await shared.index.accept(first)
    await shared.index.accept(second)
    assert [await fleet.jobs.position(one.run_id) for one in (first, second)] == [1, 2]
    assert await fleet.jobs.take(worker, orders_only=True) is None
    await shared.index.request_cancel(second.run_id, at=1.0, by="ada")
    found = await fleet.jobs.take(worker, orders_only=True)
    assert found is not None
    assert found.run_id == second.run_id


async def test_a_silent_workers_jobs_are_given_to_others(
    shared: Storage, fleet: Fleet, postgres: PostgresServer
) -> None:
    silent, alive = await fleet.jobs.join(), await fleet.jobs.join()
    await shared.index.accept(row())
    first = await taken(shared, silent)
    assert await fleet.jobs.sweep(alive, [], silent=5.0, steady=True) == (0, 0)
    postgres.execute(
        "UPDATE runwright.procrastinate_workers SET last_heartbeat = now() - interval '6 s'"
        " WHERE id = %s",
        silent,
    )
    assert await fleet.jobs.sweep(alive, [], silent=5.0, steady=False) == (0, 0)
    assert await fleet.jobs.sweep(alive, [], silent=5.0, steady=True) == (1, 1)
    assert not await fleet.jobs.heartbeat(silent)
    assert await fleet.jobs.heartbeat(alive)
    assert (await taken(shared, alive)).lease == replace(first.lease, attempts=1)


async def test_a_run_without_a_job_gets_one(
    shared: Storage, fleet: Fleet, postgres: PostgresServer
) -> None:
    for _ in range(2):
        await shared.index.accept(row())
    postgres.execute(f"{IN_SCHEMA} DELETE FROM procrastinate_jobs WHERE id = 1")
    assert await fleet.jobs.audit() == 1
    assert await fleet.jobs.audit() == 0
    assert await fleet.jobs.waiting() == 2


async def test_who_wants_the_database_alone_and_who_shares_it_keep_each_other_out(
    shared: Storage, postgres: PostgresServer
) -> None:
    async with open_storage(postgres.url, shared=True):
        pass
    # One that had it alone was killed, and has left where it answered.
    postgres.execute("UPDATE runwright.owner SET pid = 1, url = 'http://127.0.0.1:7'")
    with pytest.raises(DatabaseOwned, match="is shared by several processes") as refused:
        async with open_storage(postgres.url):
            pass
    assert refused.value.owner is None


async def test_words_of_an_answer_are_kept_until_its_run_is_settled(
    shared: Storage, fleet: Fleet
) -> None:
    accepted = row()
    await shared.index.accept(accepted)
    parts = [AnswerPart(1, "Five", 0), AnswerPart(2, " it is", 4)]
    await fleet.jobs.speak(accepted.run_id, parts)
    assert [*await fleet.jobs.spoken(accepted.run_id, 0)] == parts
    assert [*await fleet.jobs.spoken(accepted.run_id, 1)] == parts[1:]
    times = {"started_at": 1.0, "completed_at": 2.0}
    assert await shared.index.project(accepted.run_id, "failed", **times)
    assert [*await fleet.jobs.spoken(accepted.run_id, 0)] == []
    # Words are gathered, so that the last ones come after the end.
    await fleet.jobs.speak(accepted.run_id, [AnswerPart(3, ".", 10)])
    assert [*await fleet.jobs.spoken(accepted.run_id, 0)] == []


async def test_what_is_told_comes_to_all_after_a_cut_too(
    fleet: Fleet, postgres: PostgresServer
) -> None:
    async def followed() -> bool:
        return (await fleet.jobs.load(10.0, 5.0)).followed

    async def nobody_follows() -> bool:
        return not await followed()

    assert await is_heard(fleet.notices, patience())
    assert not await followed()
    async with open_storage(postgres.url, shared=True) as other:
        assert other.fleet is not None
        heard: list[tuple[str, str]] = []
        async with other.fleet.notices.hearing(lambda news, run_id: heard.append((news, run_id))):
            other.fleet.notices.follow()
            await until(lambda: ("missed", "") in heard)
            heard.clear()
            postgres.cut("datname = 'runwright'")
            await until(lambda: ("missed", "") in heard)
            await until(followed)
            fleet.notices.followed = True
            fleet.notices.tell("one")
            await until(lambda: ("changed", "one") in heard)
    await until(nobody_follows)  # once its connection is seen to have ended


async def test_a_file_is_not_shared() -> None:
    with pytest.raises(StorageError):
        async with open_storage("sqlite:///x.db", shared=True):
            pass


async def test_the_fence_is_known_by_its_state(shared: Storage, postgres: PostgresServer) -> None:
    with pytest.raises(psycopg.DatabaseError) as raised:
        postgres.execute(f"{IN_SCHEMA} SELECT check_lease(0, 0)")
    assert raised.value.sqlstate == "RUNLL"


async def test_what_is_to_be_posted_is_posted_by_one_process(
    shared: Storage, postgres: PostgresServer
) -> None:
    await shared.outbox.subscribe({"https://example.com/hook": ["failed"]})
    accepted = row()
    await shared.index.accept(accepted)
    times = {"started_at": 1.0, "completed_at": 2.0}
    assert await shared.index.project(accepted.run_id, "failed", **times)
    async with open_storage(postgres.url, shared=True) as other:
        now = time.time() + 1
        [one], [same] = [await each.outbox.due(now, limit=9) for each in (shared, other)]
        assert one == same
        assert [await each.outbox.take(one.number, now) for each in (shared, other)] == [
            True,
            False,
        ]
        assert [*await other.outbox.due(now, limit=9)] == []
        # Whoever has taken it may have died.
        assert [*await other.outbox.due(now + 60.0, limit=9)] == [one]


async def test_of_two_that_end_jobs_of_a_thread_the_second_sees_what_the_first_has_left(
    shared: Storage, fleet: Fleet, postgres: PostgresServer
) -> None:
    worker, earlier = await fleet.jobs.join(), row()
    later = row(thread_id=earlier.run_id)
    for one in (earlier, later):
        await shared.index.accept(one)
    first, second = await taken(shared, worker), await taken(shared, worker)
    assert not second.begins
    with psycopg.connect(postgres.url) as other:  # ends the later one's job, and is not done
        other.execute(IN_SCHEMA.encode())
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [earlier.run_id])
        other.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [second.lease.job])
        times = {"started_at": 1.0, "completed_at": 2.0}
        assert await shared.index.project(earlier.run_id, "failed", **times)
        ending = asyncio.create_task(fleet.jobs.finish(first.lease, earlier.run_id))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await until(lambda: ending.done() or postgres.execute(waits))
        other.commit()
    await ending
    assert (await taken(shared, worker)).run_id == later.run_id


async def test_how_many_runs_ended_of_late_is_counted_without_reading_all(
    shared: Storage, postgres: PostgresServer
) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute(f"{IN_SCHEMA} SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = connection.execute(f"EXPLAIN {_LOAD.replace('?', '10')}".encode()).fetchall()
    assert any("Index Cond: (completed_at" in line for (line,) in plan), plan


async def test_a_lease_ends_with_a_crash_of_the_database_but_not_with_its_restart(
    shared: Storage, fleet: Fleet, postgres: PostgresServer
) -> None:
    worker = await fleet.jobs.join()
    accepted = row()
    await shared.index.accept(accepted)
    before = (await taken(shared, worker)).lease

    async def noted(mine: Lease, starts: int) -> bool:
        async with under(mine):
            with suppress(psycopg.OperationalError):  # the connection is cut
                await shared.index.note_start(accepted.run_id, starts=starts, checkpoint_id=None)
                return True
            return False

    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)
    await until(lambda: noted(before, 1))
    assert [one.lease for one in await fleet.jobs.held([before])] == [before]

    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
    await asyncio.to_thread(postgres.start)
    with pytest.raises(LeaseLost):
        await until(lambda: noted(before, 2))
    assert before not in [one.lease for one in await fleet.jobs.held([before])]

    await fleet.jobs.sweep(worker, [before.job], silent=5.0, steady=False)
    after = (await taken(shared, worker)).lease
    assert (after.job, after.attempts) == (before.job, 1)
    assert await noted(after, 3)


async def test_a_job_is_finished_only_if_its_run_has_ended_where_that_is_asked_for(
    shared: Storage, fleet: Fleet
) -> None:
    worker, accepted = await fleet.jobs.join(), row()
    await shared.index.accept(accepted)
    first = await taken(shared, worker)
    assert first.row is not None
    assert (first.row.run_id, first.row.prompt) == (accepted.run_id, accepted.prompt)
    left = await fleet.jobs.finish(first.lease, accepted.run_id, only_if_ended=True)
    assert not left.gone
    assert [one.lease for one in await fleet.jobs.held([first.lease])] == [first.lease]

    times = {"started_at": 1.0, "completed_at": 2.0}
    assert await shared.index.project(accepted.run_id, "failed", **times)
    command = RetryCommand(from_step=None, input=None, skip=[], generation=1, by="ada", at=3.0)
    assert await shared.index.request_retry(accepted.run_id, command)
    assert await shared.index.project(accepted.run_id, "failed", **times)
    ended = await fleet.jobs.finish(first.lease, accepted.run_id, only_if_ended=True)
    assert ended == Finished(gone=True, more=True)  # by the one that came with the order
    last = await fleet.jobs.finish((await taken(shared, worker)).lease, accepted.run_id)
    assert last == Finished(gone=True, more=False)
    assert await fleet.jobs.waiting() == 0
