"""Cancelling a run while processes die and the storage does not answer."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.runs import runner
from graph.runs.recovery import MAX_STARTS
from graph.state import Limits
from graph.storage.open import open_storage
from graph.storage.storage import Storage, StorageUnavailable
from tests.support.patience import until
from tests.support.runs.live_runs import (
    AT_ONCE,
    LONG,
    Gates,
    assert_over,
    attempts,
    in_backoff,
    process,
    rested,
    start,
)


@pytest.mark.parametrize("prompt", ["gate a, then pass b", "stumble a, then pass b"])
@pytest.mark.parametrize("limits", [AT_ONCE, LONG], ids=["short", "long"])
async def test_a_process_killed_between_the_mark_and_the_act(
    storage: Storage, prompt: str, limits: Limits
) -> None:
    """The next one settles the run before it resumes anything; nothing of it is executed."""
    gates = Gates()
    async with process(storage, gates, slots=1, orderly=False, limits=LONG) as runs:
        run_id = await start(runs, prompt)
        await until(lambda: gates.calls["a"])
        asked = time.time()
        if prompt.startswith("stumble"):
            await until(lambda: in_backoff(runs, run_id))
        queued = await start(runs, "pass q")
        for one in (run_id, queued):
            assert await storage.index.request_cancel(one, at=asked, by="me")
    calls = gates.calls.copy()
    async with process(storage, gates, slots=1, limits=limits) as runs:
        record = await runs.get(run_id, owner="default")
        assert record["status"] == "cancelled"  # by the time that it is ready
        await assert_over(runs, storage, record, gates)
        assert gates.calls["a"] == calls["a"]
        assert [(mark["by"], mark["at"]) for mark in record["marks"]] == [("me", asked)]
        assert (await rested(runs, queued))["status"] in ("cancelled", "completed")
        await rested(runs, await start(runs, "pass c"))
    assert "b" not in gates.calls
    last = "cancelled" if prompt.startswith("gate") else "error"
    assert attempts(record) == [(1, 1, last)]


async def test_an_attempt_that_a_crash_cut_off_is_told_when_its_run_is_cancelled_in_the_queue(
    storage: Storage,
) -> None:
    """It may have acted, although nothing of the run was under way in the process that cancels."""
    gates = Gates()
    async with process(storage, gates, slots=2, orderly=False) as runs:
        first = await start(runs, "gate a")
        second = await start(runs, "gate b")
        await until(lambda: len(gates.waiting) == 2)
    async with process(storage, gates, slots=1) as runs:
        await until(lambda: gates.waiting)
        queued = second if gates.waiting == ["a"] else first
        record = await runs.cancel(queued, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
    assert attempts(record) == [(1, 1, "cancelled")]
    assert record["execution_log"][0]["may_have_acted"] is True


@pytest.mark.parametrize("slots", [1, 3])
async def test_a_suspect_that_is_cancelled_before_its_turn_holds_nobody_up(
    tmp_path: Path, slots: int
) -> None:
    """What may have ended the last process goes on alone; the others wait only as long as it is."""
    gates = Gates()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        async with process(storage, gates, slots=3, orderly=False) as runs:
            ids = [await start(runs, f"gate {label}") for label in "abc"]
            await until(lambda: len(gates.waiting) == 3)
        async with process(storage, gates, slots=3, orderly=False) as runs:
            await until(lambda: len(gates.waiting) == 3)
        for run_id in ids[:2]:
            row = await storage.index.find(run_id)
            assert row is not None
            await storage.index.note_start(
                run_id, starts=MAX_STARTS - 1, checkpoint_id=row.checkpoint_id
            )
        async with process(storage, gates, slots=slots) as runs:
            await until(lambda: gates.waiting)
            assert gates.waiting == ["a"]
            await runs.cancel(ids[1], by="me", owner="default")
            gates.end("a")
            await gates.end_next("c")
            assert (await rested(runs, ids[2]))["status"] == "completed"


class Locked:
    """An index or saver in front of another that answers to nothing while it is locked."""

    def __init__(self, storage: Storage) -> None:
        self.is_locked = False
        self.tries = 0
        lock = self
        saver_type: Any = type(storage.saver)
        index_type: Any = type(storage.index)

        class Saver(saver_type):  # type: ignore[misc]
            def __init__(self) -> None:
                self.__dict__.update(storage.saver.__dict__)

            async def aput(self, *arguments: Any) -> Any:
                lock.check()
                return await super().aput(*arguments)

            async def aput_writes(self, *arguments: Any) -> None:
                lock.check()
                await super().aput_writes(*arguments)

        class Index(index_type):  # type: ignore[misc]
            def __init__(self) -> None:
                self.__dict__.update(storage.index.__dict__)

            async def accept(self, *arguments: Any) -> Any:
                lock.check()
                return await super().accept(*arguments)

            async def project(self, *arguments: Any, **named: Any) -> bool:
                lock.check()
                return bool(await super().project(*arguments, **named))

            async def request_cancel(self, *arguments: Any, **named: Any) -> bool:
                lock.check()
                return bool(await super().request_cancel(*arguments, **named))

        async def check() -> None:
            lock.check()
            await storage.check()

        self.storage = replace(
            storage,
            saver=Saver(),
            index=Index(),
            check=check,
            errors=(sqlite3.OperationalError,),
        )

    def check(self) -> None:
        if self.is_locked:
            self.tries += 1
            raise sqlite3.OperationalError("database is locked")


async def test_a_request_that_cannot_be_stored_changes_nothing(storage: Storage) -> None:
    """The run goes on as if it had never been made."""
    gates, locked = Gates(), Locked(storage)
    async with process(locked.storage, gates) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        locked.is_locked = True
        with pytest.raises(StorageUnavailable):
            await runs.cancel(run_id, by="me", owner="default")
        assert gates.waiting == ["a"]
        locked.is_locked = False
        gates.end("a")
        assert (await rested(runs, run_id))["status"] == "completed"


async def test_a_storage_that_fails_once_the_request_is_stored(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was going on ends at once; the run is settled as soon as the storage answers."""
    monkeypatch.setattr(runner, "CANCEL_WAIT", 0.1)
    gates, locked = Gates(), Locked(storage)
    async with process(locked.storage, gates, slots=1) as runs:
        run_id = await start(runs, "gate a")
        await until(lambda: gates.waiting)
        await storage.index.request_cancel(run_id, at=time.time(), by="me")
        locked.is_locked = True
        await runs._runner.cancel(run_id)
        assert gates.waiting == []
        locked.is_locked = False
        record = await rested(runs, run_id)
        await assert_over(runs, storage, record, gates)
        await rested(runs, await start(runs, "pass b"))
    assert attempts(record) == [(1, 1, "cancelled")]


async def test_a_run_that_waits_for_its_storage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage answers again, and somebody cancels before the run has tried again.

    Its last attempt was made, though not stored: it is told as one that may have acted.
    """
    gates, locked = Gates(), Locked(storage)
    async with process(locked.storage, gates, slots=1) as runs:
        run_id = await start(runs, "gate a, then pass b")
        await until(lambda: gates.waiting)
        locked.is_locked = True
        gates.end("a")
        await until(lambda: locked.tries)
        await until(lambda: in_backoff(runs, run_id))
        locked.is_locked = False
        record = await runs.cancel(run_id, by="me", owner="default")
        await assert_over(runs, storage, record, gates)
        await rested(runs, await start(runs, "pass c"))
    assert attempts(record) == [(1, 1, "cancelled")]
    assert "b" not in gates.calls


class Killed(BaseException):
    """The process is gone; nothing after this moment happened."""


def mortal(storage: Storage, lives: list[int], after: bool) -> Storage:
    """The storage of a process that is killed around the n-th write, once `lives` has an n."""
    saver_type: Any = type(storage.saver)

    class Saver(saver_type):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__dict__.update(storage.saver.__dict__)

        async def aput(self, *arguments: Any) -> Any:
            return await self._write(super().aput, *arguments)

        async def aput_writes(self, *arguments: Any) -> None:
            await self._write(super().aput_writes, *arguments)

        async def _write(self, write: Callable[..., Any], *arguments: Any) -> Any:
            if lives:
                lives[0] -= 1
                if lives[0] < 0 or (lives[0] == 0 and not after):
                    raise Killed
            result = await write(*arguments)
            if lives and lives[0] == 0:
                raise Killed
            return result

    return replace(storage, saver=Saver())


@pytest.mark.parametrize("after", [False, True], ids=["before-storing", "after-storing"])
@pytest.mark.parametrize("writes", [1, 2, 3, 4])
@pytest.mark.parametrize("begun", [False, True], ids=["queued", "in-a-step"])
async def test_a_process_killed_while_it_settles(
    tmp_path: Path, begun: bool, writes: int, after: bool
) -> None:
    """Whichever write was its last, the next process settles the run once and as a whole."""
    gates, lives = Gates(), list[int]()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        async with process(mortal(storage, lives, after), gates, slots=1, orderly=False) as runs:
            first = await start(runs, "gate a, then pass b")
            await until(lambda: gates.waiting)
            run_id = first if begun else await start(runs, "pass b")
            lives.append(writes)
            cancelling = asyncio.create_task(runs.cancel(run_id, by="me", owner="default"))
            await until(lambda: lives[0] <= 0 or cancelling.done())
            cancelling.cancel()
            await asyncio.wait([cancelling])
        async with process(storage, gates, slots=1) as runs:
            record = await rested(runs, run_id)
            await until(lambda: begun or gates.waiting)
            await assert_over(runs, storage, record, gates)
    assert attempts(record) == ([(1, 1, "cancelled")] if begun else [])
    assert "b" not in gates.calls
