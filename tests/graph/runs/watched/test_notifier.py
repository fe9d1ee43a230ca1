"""Waking those who wait, and forgetting those who no longer do."""

import asyncio

from graph.runs.watch import BATCH, Notifier
from tests.support.patience import patience


async def waiting(notifier: Notifier, number: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.ensure_future(notifier.wait()) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_everybody_who_waits_is_woken_the_first_who_came_first():
    notifier = Notifier()
    tasks = await waiting(notifier, 3 * BATCH)

    notifier.notify()
    await asyncio.sleep(0)
    first = [task.done() for task in tasks]

    async with asyncio.timeout(patience()):
        await asyncio.gather(*tasks)
    assert first == [True] * BATCH + [False] * 2 * BATCH


async def test_nothing_is_kept_of_those_who_went_away():
    notifier = Notifier()
    for _ in range(100):
        [task] = await waiting(notifier, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert not notifier._waiting


async def test_those_who_go_while_it_rings_cost_nobody_else_his_turn():
    notifier = Notifier()
    tasks = await waiting(notifier, 3 * BATCH)
    notifier.notify()
    leaving = tasks[BATCH : 2 * BATCH]
    for task in leaving:
        task.cancel()
    [late] = await waiting(notifier, 1)

    async with asyncio.timeout(patience()):
        await asyncio.gather(*tasks, return_exceptions=True)
        while notifier._notifying:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
    assert all(task.cancelled() for task in leaving)
    assert not late.done()
    late.cancel()


async def test_a_patient_bell_lets_what_rang_it_go_on_first():
    notifier = Notifier(deferred=True)
    [task] = await waiting(notifier, 1)

    notifier.notify()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()

    async with asyncio.timeout(patience()):
        await task
