"""Waking those who wait, and forgetting those who no longer do."""

import asyncio

from graph.runs.watch import BATCH, Bell


async def waiting(bell: Bell, number: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.ensure_future(bell.wait()) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_everybody_who_waits_is_woken_the_first_who_came_first():
    bell = Bell()
    tasks = await waiting(bell, 3 * BATCH)

    bell.ring()
    await asyncio.sleep(0)
    first = [task.done() for task in tasks]

    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert first == [True] * BATCH + [False] * 2 * BATCH


async def test_nothing_is_kept_of_those_who_went_away():
    bell = Bell()
    for _ in range(100):
        [task] = await waiting(bell, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert not bell._waiting


async def test_those_who_go_while_it_rings_cost_nobody_else_his_turn():
    bell = Bell()
    tasks = await waiting(bell, 3 * BATCH)
    bell.ring()
    leaving = tasks[BATCH : 2 * BATCH]
    for task in leaving:
        task.cancel()
    [late] = await waiting(bell, 1)

    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
        while bell._ringing:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
    assert all(task.cancelled() for task in leaving)
    assert not late.done()
    late.cancel()


async def test_a_patient_bell_lets_what_rang_it_go_on_first():
    bell = Bell(patient=True)
    [task] = await waiting(bell, 1)

    bell.ring()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()

    async with asyncio.timeout(5):
        await task
