"""Watching runs: who is told what, who reads, and what is left of those who went away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from graph.record.events import events
from graph.runs.live import KEPT, Broadcaster, LiveRuns, SettledRuns
from graph.runs.watch import BATCH, Notifier, RunSubscription, change_of
from graph.state import DEFAULT_LIMITS, RunState, Status, new_run
from tests.support.patience import patience

RUN_ID = "8f14e45f-ceea-467f-a0e6-1d2c3b4a5968"


def state(*, calls: int = 0, status: Status = "running", run_id: str = RUN_ID) -> RunState:
    """A run with so many calls of models behind it; each is one more event."""
    begun = new_run("task", run_id=run_id, owner="me", limits=DEFAULT_LIMITS, created_at=1.0)
    call = {"planner": "llm", "started_at": 2.0, "duration_ms": 1.0}
    over = 3.0 if status in ("completed", "failed", "cancelled") else None
    later = {"status": status, "started_at": 2.0, "completed_at": over}
    return cast("RunState", {**begun, **later, "planning_log": [call] * calls, "log": []})


class Reads:
    """Reads what is stored; a read takes until it is told to end."""

    def __init__(self, stored: RunState | None = None) -> None:
        self.stored = stored or state()
        self.count = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: Exception | None = None

    async def __call__(self, run_id: str) -> RunState:
        self.count += 1
        read = {**self.stored, "run_id": run_id}
        await self.may_end.wait()
        if self.failure:
            raise self.failure
        return cast("RunState", read)


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def woken(tasks: list[asyncio.Task[Any]]) -> None:
    """All of them end."""
    done, late = await asyncio.wait(tasks, timeout=patience())
    assert not late
    for task in done:
        task.result()


@asynccontextmanager
async def waiters(wait: Callable[[], Awaitable[Any]], count: int) -> AsyncIterator[Any]:
    """So many tasks that wait."""
    tasks = [asyncio.create_task(_waiting(wait)) for _ in range(count)]
    await settle()
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _waiting(wait: Callable[[], Awaitable[Any]]) -> Any:
    return await wait()


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 5 * BATCH])
async def test_a_ring_wakes_everybody_who_waits(count: int) -> None:
    notifier = Notifier()
    async with waiters(notifier.wait, count) as tasks:
        notifier.notify()
        if tasks:
            await woken(tasks)
    assert (len(notifier._waiting), len(notifier._due), notifier._notifying) == (0, 0, None)


async def test_a_ring_wakes_nobody_who_came_after_it() -> None:
    """Neither at once nor with the last batch."""
    notifier = Notifier()
    async with waiters(notifier.wait, 3 * BATCH) as early:
        notifier.notify()
        async with waiters(notifier.wait, 3) as late:
            await woken(early)
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in late)
            notifier.notify()
            await woken(late)


async def test_a_second_ring_wakes_those_who_came_between() -> None:
    """Also while the first one still goes on."""
    notifier = Notifier()
    async with waiters(notifier.wait, 3 * BATCH) as early:
        notifier.notify()
        async with waiters(notifier.wait, 3) as late:
            notifier.notify()
            await woken([*early, *late])
    assert (len(notifier._waiting), len(notifier._due)) == (0, 0)


async def test_a_ring_wakes_a_batch_at_a_time() -> None:
    """The run that is watched has its turn in between; those who came first are first."""
    notifier, order = Notifier(), list[int]()

    async def wait(number: int) -> None:
        await notifier.wait()
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3 * BATCH)]
    await settle()
    notifier.notify()
    await settle()
    assert len(order) == BATCH
    await woken(tasks)
    assert order == list(range(3 * BATCH))


async def test_those_who_go_away_do_not_keep_others_from_being_woken() -> None:
    """Before the ring, between two batches, and in the moment in which they are woken."""
    notifier = Notifier()
    async with waiters(notifier.wait, 6 * BATCH) as tasks:
        for task in tasks[::3]:
            task.cancel()
        await settle()
        notifier.notify()
        for task in tasks[1::3]:
            task.cancel()
        await woken(tasks[2::3])
        await settle()
        assert all(task.cancelled() for task in tasks[::3])
    assert (len(notifier._waiting), len(notifier._due), notifier._notifying) == (0, 0, None)


async def test_those_who_go_away_leave_nothing_behind() -> None:
    """A run can rest for days, and its watchers look up every few seconds."""
    notifier = Notifier()
    for _ in range(50):
        async with waiters(notifier.wait, 2):
            pass
    assert (len(notifier._waiting), len(notifier._due)) == (0, 0)


def watched(broadcaster: Broadcaster) -> dict[str, RunSubscription]:
    """The subscriptions that somebody watches."""
    found = {live.run_id: live.subscription for live in broadcaster._runs}
    return {run_id: one for run_id, one in found.items() if one and one.watchers}


async def test_the_first_watcher_gets_what_was_stored_so_far() -> None:
    reads = Reads(state(calls=2))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        assert subscription.state == reads.stored
        assert subscription.events == events(reads.stored)
        assert not subscription.ended
    assert watched(broadcaster) == {}


async def test_watchers_who_come_at_once_share_one_read() -> None:
    """And so does everybody who comes as long as one of them is there."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    reads.may_end.clear()

    async def watch() -> RunSubscription:
        async with broadcaster.watching(RUN_ID) as subscription:
            await subscription.after(len(events(state(calls=1))) - 1)
            return subscription

    async with waiters(watch, 500) as tasks:
        reads.may_end.set()
        await settle()
        async with broadcaster.watching(RUN_ID) as subscription:
            assert subscription.watchers == 501
        broadcaster.publish(state(calls=1))
        await woken(tasks)
    assert reads.count == 1
    assert watched(broadcaster) == {}


async def seen_ended(broadcaster: Broadcaster, run_id: str = RUN_ID) -> bool:
    """As somebody who comes and goes at once."""
    async with broadcaster.watching(run_id) as subscription:
        return subscription.ended


async def test_those_who_come_one_after_another_to_an_ended_run_share_one_read() -> None:
    reads = Reads(state(status="completed"))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    for _ in range(500):
        assert await seen_ended(broadcaster)
    assert reads.count == 1


@pytest.mark.parametrize("status", ["running", "waiting"])
async def test_what_may_go_on_is_read_again_for_the_next_who_comes(status: Status) -> None:
    reads = Reads(state(status=status))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    assert not await seen_ended(broadcaster)
    reads.stored = state(status="completed")
    assert await seen_ended(broadcaster)
    assert reads.count == 2


async def test_who_asks_for_the_latest_is_told_what_is_stored_and_not_yet_told() -> None:
    """Whoever has read the record knows it: the events may not be of an earlier moment."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        reads.stored = state(calls=1)
        assert subscription.events == events(state())
        async with broadcaster.watching(RUN_ID, latest=True) as same:
            assert same is subscription
        assert subscription.events == events(state(calls=1))


async def test_an_ended_run_that_goes_on_is_seen_to_go_on() -> None:
    """A retry stores a state of it: what was kept is no longer true."""
    reads = Reads(state(status="failed"))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    assert await seen_ended(broadcaster)
    reads.stored = state(calls=1)
    broadcaster.publish(reads.stored)
    assert not await seen_ended(broadcaster)


async def test_a_removed_run_is_not_told_from_memory() -> None:
    reads = Reads(state(status="completed"))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    await seen_ended(broadcaster)
    broadcaster.forget(RUN_ID)
    await seen_ended(broadcaster)
    assert reads.count == 2


async def test_only_the_feeds_that_were_left_last_are_kept() -> None:
    reads = Reads(state(status="completed"))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    for number in range(KEPT + 1):
        await seen_ended(broadcaster, f"run-{number}")
    assert list(broadcaster._kept) == [f"run-{number}" for number in range(1, KEPT + 1)]


async def test_what_is_stored_is_told_without_a_read() -> None:
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        seen = len(subscription.events)
        for calls in range(1, 5):
            async with waiters(partial(subscription.after, seen), 3) as tasks:
                broadcaster.publish(state(calls=calls))
                await woken(tasks)
            assert subscription.events == events(state(calls=calls))
            seen = len(subscription.events)
    assert reads.count == 1


async def test_an_event_that_is_there_is_not_waited_for() -> None:
    broadcaster = Broadcaster(Reads(state(calls=1)), LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        await asyncio.wait_for(subscription.after(0), patience())
        await asyncio.wait_for(subscription.after(len(subscription.events) - 1), patience())


async def test_after_the_last_event_nothing_is_waited_for() -> None:
    """Nor is a rest, once the run rests."""
    broadcaster = Broadcaster(Reads(state(status="completed")), LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        assert subscription.ended
        await asyncio.wait_for(subscription.after(len(subscription.events)), patience())
        await asyncio.wait_for(subscription.until_settled(), patience())


async def test_a_change_that_brings_no_rest_wakes_nobody_who_waits_for_one() -> None:
    broadcaster = Broadcaster(Reads(), LiveRuns(), SettledRuns())
    async with (
        broadcaster.watching(RUN_ID) as subscription,
        waiters(subscription.until_settled, 2) as tasks,
    ):
        broadcaster.publish(state(calls=1))
        await settle()
        assert not any(task.done() for task in tasks)
        broadcaster.publish(state(calls=1, status="waiting"))
        await woken(tasks)


async def test_an_older_reading_takes_no_event_back() -> None:
    """It was begun before the newer state was stored, and ends after it."""
    reads = Reads(state(calls=1))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    reads.may_end.clear()

    async def watch() -> tuple[RunState | None, list[Any]]:
        async with broadcaster.watching(RUN_ID) as subscription:
            return subscription.state, list(subscription.events)

    async with waiters(watch, 3) as tasks:
        broadcaster.publish(state(calls=3))
        reads.may_end.set()
        await woken(tasks)
        for task in tasks:
            assert task.result() == (state(calls=3), events(state(calls=3)))
    assert reads.count == 1


async def test_older_states_are_passed_over() -> None:
    broadcaster = Broadcaster(Reads(state(calls=3)), LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        before = list(subscription.events)
        for calls in (0, 2):
            broadcaster.publish(state(calls=calls))
        assert (subscription.state, subscription.events) == (state(calls=3), before)


async def test_events_are_put_together_only_for_who_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for the end of a run asks for none of them."""
    counted: list[RunState] = []

    def counting(of: RunState) -> list[Any]:
        counted.append(of)
        return events(of)

    monkeypatch.setattr("graph.runs.watch.events", counting)
    broadcaster = Broadcaster(Reads(state(calls=0)), LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID) as subscription:
        for calls in (1, 2, 3):
            broadcaster.publish(state(calls=calls))
        broadcaster.publish(settled := state(calls=3, status="completed"))
        await subscription.until_settled()
        assert counted == []
        assert subscription.events == events(settled)
        assert counted == [settled]


async def test_what_is_stored_before_the_read_ends_is_told_once() -> None:
    """An event is in a feed once, whether it was read or published."""
    reads = Reads(state(calls=2))
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    reads.may_end.clear()
    async with waiters(lambda: _events(broadcaster), 1) as tasks:
        broadcaster.publish(state(calls=1))
        reads.may_end.set()
        await woken(tasks)
        assert tasks[0].result() == events(state(calls=2))


async def _events(broadcaster: Broadcaster) -> list[Any]:
    async with broadcaster.watching(RUN_ID) as subscription:
        return list(subscription.events)


async def test_watchers_who_leave_leave_nothing_behind() -> None:
    """In the middle of a wait, and in the middle of the read that others wait for as well."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    reads.may_end.clear()

    async def watch() -> None:
        async with broadcaster.watching(RUN_ID) as subscription:
            await subscription.after(1000)

    async with waiters(watch, 5) as tasks:
        tasks[0].cancel()  # who reads
        tasks[3].cancel()  # who waits for the reading
        await settle()
        assert reads.count == 2
        assert watched(broadcaster)[RUN_ID].watchers == 3
        reads.may_end.set()
        await settle()
        tasks[1].cancel()  # who waits for an event
        await settle()
        assert watched(broadcaster)[RUN_ID].watchers == 2
        assert len(watched(broadcaster)[RUN_ID]._notifier._waiting) == 2
    assert watched(broadcaster) == {}


async def test_who_comes_after_the_last_has_left_reads_again() -> None:
    """Nothing of a run that nobody watches is kept up to date, or kept at all."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    async with broadcaster.watching(RUN_ID):
        pass
    broadcaster.publish(state(calls=1))
    reads.stored = state(calls=1)
    assert await _events(broadcaster) == events(state(calls=1))
    assert reads.count == 2


async def test_a_reading_that_fails_is_told_to_everybody_who_needed_it() -> None:
    """Nobody is left with an empty feed, and the next one tries again."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())
    reads.failure = RuntimeError("no such run")
    async with waiters(lambda: _events(broadcaster), 3) as tasks:
        await asyncio.wait(tasks, timeout=patience())
        assert [str(task.exception()) for task in tasks] == ["no such run"] * 3
    assert watched(broadcaster) == {}
    reads.failure = None
    assert await _events(broadcaster)


async def test_the_end_of_the_process_ends_every_wait() -> None:
    """Of those who wait, of those who read, and of those who come later."""
    reads = Reads()
    broadcaster = Broadcaster(reads, LiveRuns(), SettledRuns())

    async def watch() -> bool:
        async with broadcaster.watching(RUN_ID) as subscription:
            await subscription.after(1000)
            await subscription.until_settled()
            return subscription.closed and not subscription.ended

    async def follow() -> list[RunState]:
        with broadcaster.changes(owner=None) as changes:
            return await changes.next()

    async with waiters(watch, 100) as waiting, waiters(follow, 3) as following:
        reads.may_end.clear()
        async with waiters(lambda: _other(broadcaster), 1) as reading:
            broadcaster.close()
            reads.may_end.set()
            await woken([*waiting, *following, *reading])
    async with waiters(watch, 2) as late, waiters(follow, 2) as following:
        await woken([*late, *following])
        assert all(task.result() for task in late)
        assert [task.result() for task in following] == [[], []]
    assert (watched(broadcaster), broadcaster._changes) == ({}, set())


async def _other(broadcaster: Broadcaster) -> None:
    async with broadcaster.watching("another") as subscription:
        await subscription.until_settled()


async def test_several_changes_of_one_run_are_one() -> None:
    """And tell its latest state."""
    broadcaster = Broadcaster(Reads(), LiveRuns(), SettledRuns())
    with broadcaster.changes(owner=None) as changes:
        for calls in range(3):
            for run_id in ("a", "b"):
                broadcaster.publish(state(calls=calls, run_id=run_id))
        found = await changes.next()
        assert found == [change_of(state(calls=2, run_id=one)) for one in ("a", "b")]
        async with waiters(changes.next, 1) as tasks:
            assert not tasks[0].done()
            broadcaster.publish(state(calls=3, run_id="b"))
            await woken(tasks)
            assert tasks[0].result() == [change_of(state(calls=3, run_id="b"))]


async def test_each_follower_is_told_every_change() -> None:
    """What one has taken the other one still gets; one who has left gets nothing."""
    broadcaster = Broadcaster(Reads(), LiveRuns(), SettledRuns())
    with broadcaster.changes(owner=None) as first, broadcaster.changes(owner=None) as second:
        with broadcaster.changes(owner=None) as gone:
            pass
        broadcaster.publish(state())
        assert await first.next() == await second.next() == [change_of(state())]
        assert gone._changed == {}
    assert broadcaster._changes == set()


async def test_a_change_that_came_before_the_end_is_still_told() -> None:
    broadcaster = Broadcaster(Reads(), LiveRuns(), SettledRuns())
    with broadcaster.changes(owner=None) as changes:
        broadcaster.publish(state(status="completed"))
        broadcaster.close()
        assert await changes.next() == [change_of(state(status="completed"))]
        assert await changes.next() == []
