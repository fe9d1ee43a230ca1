"""Cancelling a run in the moment in which something else happens to it."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from graph.record.record import Record
from graph.runs.cancellation import AlreadySettled
from graph.storage.search import Search
from graph.storage.storage import Storage
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    Gates,
    assert_over,
    attempts,
    process,
    rested,
    row_status,
    start,
    told,
)
from tools.registry import ToolError


@pytest.mark.parametrize("held", range(2, 14))
async def test_a_run_whose_every_write_is_on_its_way(storage: Storage, held: int) -> None:
    """Between any two steps of its life: what was stored by then is what the record tells."""
    gates = Gates()
    writes = Writes(storage)
    async with process(writes.storage, gates, slots=1) as runs:
        run_id = await start(runs, "pass a, then stumble b and then pass c")
        writes.hold(held)
        await until(writes.is_holding)
        done = gates.calls["c"]
        cancelling = asyncio.create_task(runs.cancel(run_id, by="me", owner="default"))
        await until(lambda: cancelling.done() or is_asked_for(storage, run_id))
        writes.release()
        try:
            record = await cancelling
        except AlreadySettled:
            record = await runs.get(run_id, owner="default")
            assert record["status"] == "completed"
            assert done  # by then all that was left was to be stored
        else:
            await assert_over(runs, storage, record, gates)
        await told(runs, run_id)
        assert_agrees(record, gates)
        await rested(runs, await start(runs, "pass d"))


async def is_asked_for(storage: Storage, run_id: str) -> bool:
    """Whether a cancellation is stored."""
    row = await storage.index.find(run_id)
    return row is not None and row.cancel_at is not None


def assert_agrees(record: Record, gates: Gates) -> None:
    """Every call of a tool has its entry in the log, and there is no other one."""
    log = attempts(record)
    assert len(set(log)) == len(log)
    assert log == sorted(log)
    called = Counter(entry["input"]["label"] for entry in record["execution_log"])
    assert called == {label: gates.calls[label] for label in "abc" if label in gates.calls}


class Writes:
    """Holds back the n-th write of checkpoints and those after it; the storage that does so."""

    def __init__(self, storage: Storage) -> None:
        self._left = self._number = -1
        self._released = asyncio.Event()
        self._holding = False
        writes = self
        saver_type: Any = type(storage.saver)

        class Saver(saver_type):  # type: ignore[misc]
            """LangGraph copies a saver; what it waits for is one."""

            def __init__(self) -> None:
                self.__dict__.update(storage.saver.__dict__)

            async def aput(self, *arguments: Any) -> Any:
                await writes.passing()
                return await super().aput(*arguments)

            async def aput_writes(self, *arguments: Any) -> None:
                await writes.passing()
                await super().aput_writes(*arguments)

        self.storage = replace(storage, saver=Saver())

    def hold(self, number: int) -> None:
        self._left = self._number = number

    def release(self) -> None:
        self._number = -1
        self._released.set()

    def is_holding(self) -> bool:
        return self._holding

    async def passing(self) -> None:
        self._left -= 1
        if self._left <= 0 <= self._number:
            self._holding = True
            await self._released.wait()


async def test_twice_at_once(storage: Storage) -> None:
    """Both get the same record, with one mark: of the one who came first."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        records = await asyncio.gather(
            *(runs.cancel(run_id, by=f"{n}", owner="default") for n in range(5))
        )
        await assert_over(runs, storage, records[0], gates)
    assert all(record == records[0] for record in records)
    assert [mark["by"] for mark in records[0]["marks"]] == ["0"]


async def test_many_runs_at_moments_that_nobody_chose(storage: Storage) -> None:
    """Each ends in one status, which agrees with its log, and none takes a slot with it."""
    gates = Gates()
    async with process(storage, gates, slots=4) as runs:

        async def one(number: int) -> Record:
            run_id = await start(
                runs, f"pass {number}a, then stumble {number}b, then pass {number}c"
            )
            for _ in range(number):
                await asyncio.sleep(0)
            try:
                return await runs.cancel(run_id, by="me", owner="default")
            except AlreadySettled:
                return await runs.get(run_id, owner="default")

        records = await asyncio.gather(*(one(number) for number in range(60)))
        calls = gates.calls.copy()
        await asyncio.sleep(0.1)
        assert gates.calls == calls
        for record in records:
            assert await runs.get(record["run_id"], owner="default") == record
            assert await row_status(storage, record["run_id"]) == record["status"]
            await told(runs, record["run_id"])
            done = [entry["input"]["label"] for entry in record["execution_log"]]
            for label in done:
                assert done.count(label) >= calls[label] or "b" in label
        ids = [await start(runs, f"gate {number}") for number in range(5)]
        await until(lambda: len(gates.waiting) == 4)
        for number, run_id in enumerate(ids):
            await gates.end_next(f"{number}")
            await rested(runs, run_id)
    assert {record["status"] for record in records} <= {"cancelled", "completed"}


async def test_a_failed_attempt_that_may_pass_is_not_made_again(storage: Storage) -> None:
    """Also when its failure and the cancellation come in the same moment."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        gates.end("a", ToolError("not now", retryable=True))
        record = await runs.cancel(run_id, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
    assert gates.calls["a"] <= len(record["execution_log"]) <= 2


async def test_a_run_whose_caller_goes_away_as_it_is_accepted_is_executed_or_unknown(
    storage: Storage,
) -> None:
    """What is stored is not forgotten until the next start."""
    async with process(storage, Gates()) as runs:
        for ticks in range(8):
            starting = asyncio.create_task(runs.start(f"pass {ticks}"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait([starting])
        await asyncio.sleep(0.05)
        for row in (await storage.index.search("default", Search(limit=20))).rows:
            assert (await rested(runs, row.run_id))["status"] == "completed"


async def test_a_caller_who_goes_away_changes_nothing_of_what_was_asked(storage: Storage) -> None:
    """Once the request is stored the act follows, whether or not anybody waits for its answer."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        for ticks in range(12):
            run_id = await start(runs, f"gate {ticks}")
            await until(lambda: gates.waiting)
            asking = asyncio.create_task(runs.cancel(run_id, by="me", owner="default"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            await storage.check()  # written after whatever was on its way
            row = await storage.index.find(run_id)
            assert row is not None
            if row.cancel_at is None:
                assert gates.waiting == [f"{ticks}"]
                await runs.cancel(run_id, by="me", owner="default")
            assert (await rested(runs, run_id))["status"] == "cancelled"


async def test_a_cancellation_is_lost_at_no_moment_before_a_tool_is_called(
    storage: Storage,
) -> None:
    """One turn of the loop later each time: what takes it for something else goes on for ever."""
    gates, ticks, within = Gates(), 0, 0
    async with process(storage, gates, slots=1) as runs:
        while within < 3:
            run_id = await start(runs, f"gate {ticks}")
            for _ in range(ticks):
                await asyncio.sleep(0)
            within += bool(gates.waiting)
            calls = gates.calls.copy()
            record = await asyncio.wait_for(
                runs.cancel(run_id, by="me", owner="default"), patience()
            )
            assert record["status"] == "cancelled"
            assert gates.waiting == []
            assert sum(gates.calls.values()) <= sum(calls.values()) + 1
            assert ticks < 5_000
            ticks += 7
