"""Whoever takes most of the event loop waits while others are there."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextvars import copy_context
from functools import partial

import anyio
import pytest

from graph.queue.executor import Executor, Job
from graph.queue.share import (
    ADDRESSES,
    ANONYMOUS_SHARE,
    BURST,
    LONGEST,
    METER,
    OWED,
    PRESENT,
    SHARE,
    Account,
    LoopShare,
    Meter,
    Metered,
)
from tests.support.clocks import StandingClock
from tests.support.patience import patience, until

#: What a task computes at a time, in seconds.
STEP = 0.02


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def share(clock: StandingClock) -> LoopShare:
    return LoopShare(clock)


@pytest.fixture
async def measured() -> AsyncIterator[LoopShare]:
    """By the real clock, in a loop whose tasks are counted."""
    loop, share = asyncio.get_running_loop(), LoopShare()
    loop.set_task_factory(share.make_task)
    yield share
    loop.set_task_factory(None)


def account_of(share: LoopShare, taker: str) -> Account:
    """That of an owner, or of those who come from an address."""
    return share.of_anonymous(taker) if taker[0].isdigit() else share.of(taker)


def work(share: LoopShare, clock: StandingClock, taker: str, seconds: float) -> None:
    """The loop has worked for somebody."""
    clock.now += seconds
    share.charge(account_of(share, taker), seconds, clock.now)


def compute(seconds: float = STEP) -> None:
    """Hold the loop for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        pass


async def test_an_order_of_an_owner_is_not_behind_the_steps_of_his_runs(share: LoopShare) -> None:
    alice = share.of("alice")
    METER.set(Meter(share, alice))
    async with alice.steps:
        assert share.must_wait(step=True)
        assert not share.must_wait()
        await share.turn()


def test_who_is_alone_never_waits(share: LoopShare, clock: StandingClock) -> None:
    work(share, clock, "alice", 60)
    assert share.wait_of(share.of("alice")) == 0


def test_who_took_much_waits_while_another_is_there(share: LoopShare, clock: StandingClock) -> None:
    work(share, clock, "bob", 0.001)
    work(share, clock, "alice", BURST + 0.05)
    assert share.wait_of(share.of("alice")) == pytest.approx(0.1)
    assert share.wait_of(share.of("bob")) == 0
    clock.now += 0.05
    work(share, clock, "bob", 0.01)  # who owes now, too, for as long
    assert share.wait_of(share.of("alice")) == pytest.approx(0.08)
    clock.now += 0.08
    assert share.wait_of(share.of("alice")) == pytest.approx(0)


def test_nobody_waits_for_who_has_gone(share: LoopShare, clock: StandingClock) -> None:
    work(share, clock, "bob", 0.001)
    clock.now += PRESENT * 1.1
    work(share, clock, "alice", 60)
    assert share.wait_of(share.of("alice")) == 0


def test_what_is_owed_has_a_bound(share: LoopShare, clock: StandingClock) -> None:
    work(share, clock, "bob", 0.001)
    work(share, clock, "alice", 60)
    assert share.wait_of(share.of("alice")) == pytest.approx(2 * OWED)


def test_strangers_wait_for_owners_and_not_the_other_way_around(
    share: LoopShare, clock: StandingClock
) -> None:
    stranger = share.of_anonymous("192.0.2.1")
    work(share, clock, "alice", 1)
    work(share, clock, "192.0.2.1", 1)
    assert share.wait_of(share.of("alice")) == 0
    assert share.wait_of(stranger) > 0
    assert share.wait_of(share.of_anonymous("192.0.2.2")) == 0
    work(share, clock, "alice", 1)
    assert share.wait_of(share.of("alice")) == 0
    work(share, clock, "192.0.2.1", 1)
    clock.now += PRESENT * 1.1  # and nobody is there
    assert share.wait_of(stranger) == 0


def test_strangers_wait_whatever_the_owners_who_are_there_owe(
    share: LoopShare, clock: StandingClock
) -> None:
    for _ in range(20):
        for owner in ("alice", "bob"):
            work(share, clock, owner, OWED)
    stranger = share.of_anonymous("192.0.2.1")
    work(share, clock, "192.0.2.1", OWED)
    over = share.wait_of(stranger)
    assert over == pytest.approx((OWED - BURST) / ANONYMOUS_SHARE)
    work(share, clock, "alice", over)
    assert share.wait_of(stranger) == pytest.approx(0)


def test_what_strangers_take_while_no_owner_is_there_is_not_owed(
    share: LoopShare, clock: StandingClock
) -> None:
    work(share, clock, "192.0.2.1", 60)
    work(share, clock, "alice", 0.001)
    assert share.wait_of(share.of_anonymous("192.0.2.1")) == 0


def test_two_who_are_about_even_both_go(share: LoopShare, clock: StandingClock) -> None:
    for owner in ("alice", "bob"):
        work(share, clock, owner, 0.001)
    for owner in ("alice", "bob"):
        share.charge(share.of(owner), OWED - (owner == "bob") * BURST / 2, clock.now)
    assert share.wait_of(share.of("alice")) == 0
    assert share.wait_of(share.of("bob")) == 0


async def test_an_owner_has_as_much_however_many_strangers_wait(
    share: LoopShare, clock: StandingClock
) -> None:
    async def waits(number: int) -> None:
        METER.set(Meter(share, share.of_anonymous(str(number))))
        await share.turn()

    work(share, clock, "bob", 0.001)
    for number in range(9):
        share.charge(share.of_anonymous(str(number)), BURST + OWED, clock.now)
    strangers = [asyncio.create_task(waits(number)) for number in range(9)]
    await until(
        lambda: all(share.of_anonymous(str(number)).requests.locked() for number in range(9))
    )
    work(share, clock, "alice", BURST + 0.05)
    assert share.wait_of(share.of("alice")) == pytest.approx(0.05 / SHARE)
    clock.now += 60
    await asyncio.gather(*strangers)


def test_what_is_taken_while_nobody_else_is_there_is_not_owed(
    share: LoopShare, clock: StandingClock
) -> None:
    work(share, clock, "bob", 0.001)
    work(share, clock, "alice", 0.001)
    for _ in range(2):  # in which bob goes
        clock.now += PRESENT * 0.6
        work(share, clock, "alice", 0.001)
    work(share, clock, "alice", 60)
    work(share, clock, "bob", 0.001)
    assert share.wait_of(share.of("alice")) == 0
    work(share, clock, "alice", STEP)
    assert 0 < share.wait_of(share.of("alice")) <= STEP / SHARE


def test_who_is_late_since_the_loop_is_busy_is_still_there(
    share: LoopShare, clock: StandingClock
) -> None:
    work(share, clock, "bob", 0.001)
    work(share, clock, "192.0.2.1", 60 * PRESENT)
    assert share.wait_of(share.of_anonymous("192.0.2.1")) > 0


async def test_the_turn_comes_whatever_else_is_done_for_an_owner(
    share: LoopShare, clock: StandingClock
) -> None:
    METER.set(Meter(share, share.of("alice")))
    work(share, clock, "bob", 0.001)
    work(share, clock, "alice", BURST + OWED)
    waiting = asyncio.create_task(share.turn())
    began = clock.now

    def others_go_on() -> bool:
        work(share, clock, "bob", 0.001)
        work(share, clock, "alice", OWED)
        return waiting.done()

    await until(others_go_on)
    assert clock.now - began >= LONGEST


def test_who_has_had_least_never_waits(share: LoopShare, clock: StandingClock) -> None:
    for owner in ("alice", "bob", "carol"):
        work(share, clock, owner, 0.001)
    work(share, clock, "alice", OWED)
    work(share, clock, "bob", OWED)
    work(share, clock, "carol", STEP)
    assert share.of("carol").used > BURST
    assert share.wait_of(share.of("carol")) == 0
    assert share.wait_of(share.of("bob")) > 0
    assert share.wait_of(share.of("alice")) > 0
    work(share, clock, "carol", OWED)
    assert share.wait_of(share.of("alice")) == 0


def test_what_is_given_back_is_shared_by_those_who_still_owe(
    share: LoopShare, clock: StandingClock
) -> None:
    for owner in ("alice", "bob", "carol"):
        share.charge(share.of(owner), 0.001, clock.now)
    share.charge(share.of("alice"), 0.029, clock.now)
    share.charge(share.of("bob"), 0.059, clock.now)
    clock.now += 0.1  # of which bob has what the others need no more
    share.charge(share.of("dave"), 0, clock.now)
    owed = [share.of(owner).used for owner in ("alice", "bob", "carol")]
    assert owed == pytest.approx([0.0055, 0.0355, 0])
    clock.now += 0.1
    share.charge(share.of("dave"), 0, clock.now)
    assert [share.of(owner).used for owner in ("alice", "bob")] == pytest.approx([0, 0])


@pytest.mark.parametrize(
    "takers", [("alice", "carol", "dave"), ("192.0.2.1", "192.0.2.2", "192.0.2.3")]
)
def test_several_who_together_take_too_much_wait_though_none_takes_half(
    share: LoopShare, clock: StandingClock, takers: tuple[str, ...]
) -> None:
    """Three owners or addresses of whom each has a third, and an owner who has little."""
    for _ in range(100):
        work(share, clock, "bob", 0.0001)
        for taker in takers:
            work(share, clock, taker, 0.001)
    assert share.wait_of(share.of("bob")) == 0
    for taker in takers:
        assert share.wait_of(account_of(share, taker)) > 0


def test_many_who_take_little_do_not_hold_up_one_who_takes_half(
    share: LoopShare, clock: StandingClock
) -> None:
    for _ in range(100):
        work(share, clock, "alice", 0.001)
        for number in range(10):
            work(share, clock, f"light {number}", 0.00001)
        clock.now += 0.002
    assert share.wait_of(share.of("alice")) == 0


async def test_what_outlives_a_request_is_for_everybody(measured: LoopShare) -> None:
    go_on = asyncio.Event()

    async def kept() -> None:
        await go_on.wait()
        compute()
        await asyncio.create_task(asyncio.sleep(0))

    meter = Meter(measured, measured.of("alice"))
    METER.set(meter)
    keeping = asyncio.create_task(kept())
    await asyncio.sleep(0)
    meter.end()
    later = asyncio.create_task(kept())
    assert not isinstance(later.get_coro(), Metered)
    METER.set(None)
    before = measured.of("alice").stand
    go_on.set()
    await asyncio.gather(keeping, later)
    assert measured.of("alice").stand == before


def test_so_many_strangers_are_remembered(share: LoopShare) -> None:
    first = share.of_anonymous("0")
    assert share.of_anonymous("0") is first
    for number in range(1, ADDRESSES + 1):
        share.of_anonymous(str(number))
    assert share.of_anonymous("0") is not first


async def test_what_is_begun_for_an_owner_is_counted_as_his(measured: LoopShare) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        compute()

    async def outer() -> None:
        await asyncio.gather(inner(), asyncio.create_task(inner()))

    meter = Meter(measured)
    METER.set(meter)
    await asyncio.create_task(outer())
    METER.set(None)
    measured.charge(measured.of("bob"), 0, measured.clock())
    meter.assign(measured.of("alice"))
    assert measured.of("alice").used >= 1.5 * STEP
    await asyncio.create_task(outer())
    assert measured.of("bob").used == 0


async def test_what_is_begun_in_a_context_is_counted_as_it_says(measured: LoopShare) -> None:
    async def inner() -> None:
        compute()

    context = copy_context()
    context.run(METER.set, Meter(measured, measured.of("alice")))
    measured.charge(measured.of("bob"), 0, measured.clock())
    await asyncio.create_task(inner(), context=context)
    assert measured.of("alice").used >= 0.5 * STEP


def test_what_was_counted_is_charged_once(share: LoopShare, clock: StandingClock) -> None:
    meter = Meter(share)
    meter.add(clock.now, clock.now + BURST)
    meter.assign(share.of("alice"))
    meter.assign(share.of("bob"))
    assert share.of("alice").used == pytest.approx(BURST)
    assert share.of("bob").used == 0


async def test_those_of_one_owner_are_let_in_one_after_the_other(
    share: LoopShare, clock: StandingClock
) -> None:
    begun: list[int] = []

    async def one(number: int) -> None:
        await share.turn()
        begun.append(number)
        work(share, clock, "alice", STEP)

    work(share, clock, "bob", 0.001)
    work(share, clock, "alice", BURST + STEP)
    METER.set(Meter(share, share.of("alice")))
    tasks = [asyncio.create_task(one(number)) for number in range(3)]
    await asyncio.sleep(PRESENT)
    assert begun == []
    for number in range(3):
        clock.now += STEP / SHARE
        work(share, clock, "bob", 0.001)
        await until(partial(begun.__contains__, number))
        assert begun == [*range(number + 1)]
    await asyncio.gather(*tasks)


async def test_a_counted_task_is_cancelled_and_fails_as_any_other(measured: LoopShare) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("gone")

    async def cleans_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "clean"
        return "never"

    METER.set(Meter(measured, measured.of("alice")))
    with pytest.raises(KeyError):
        await asyncio.create_task(fails())
    waiting = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    waiting.cancel()
    assert await waiting == "clean"
    unbegun = asyncio.create_task(cleans_up())
    unbegun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unbegun
    del unbegun
    gc.collect()  # a coroutine that was never awaited would be warned of
    assert "cleans_up" in repr(asyncio.create_task(cleans_up()))


def test_what_is_counted_is_closed_with_what_counts_it(share: LoopShare) -> None:
    cleaned: list[int] = []

    async def held(number: int) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(number)

    async def waits(counted: Metered[None]) -> None:
        await counted

    coroutines = [held(number) for number in range(2)]  # which are kept, so that none ends itself
    meter = Meter(share, share.of("alice"))
    by_itself, awaited = (Metered(one, meter) for one in coroutines)
    by_itself.send(None)
    by_itself.close()
    assert cleaned == [0]
    waiting = waits(awaited)
    waiting.send(None)
    waiting.close()
    assert cleaned == [0, 1]


async def test_a_group_of_counted_tasks_is_cancelled_as_any_other(measured: LoopShare) -> None:
    METER.set(Meter(measured, measured.of("alice")))

    async def all_of_them() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(anyio.sleep_forever)
                scope.cancel()

    await asyncio.create_task(all_of_them())


async def test_a_run_waits_for_its_turn_without_a_slot(
    share: LoopShare, clock: StandingClock
) -> None:
    executor = Executor(slots=1, max_queued=9, share=share)
    order: list[str] = []
    took_much = asyncio.Event()

    async def execute(run_id: str) -> None:
        if run_id == "alice's":
            work(share, clock, "bob", 0.001)
            work(share, clock, "alice", BURST + OWED)
            took_much.set()
            await executor.turn()
        order.append(run_id)

    executor.start(execute)
    alice, bob = Job(run_id="alice's"), Job(run_id="bob's")
    executor.enqueue(alice, "alice")
    executor.enqueue(bob, "bob")
    await took_much.wait()
    assert await executor.ended(bob, timeout=patience())
    clock.now += 1
    assert await executor.ended(alice, timeout=patience())
    assert order == ["bob's", "alice's"]
