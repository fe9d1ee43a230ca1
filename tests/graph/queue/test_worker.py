"""A worker that takes jobs which all processes share."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import pytest

from graph.queue import worker as module
from graph.queue.worker import Carried, Heart, JobWorker
from graph.storage.fleet import Finished, HeldRun, Lease, QueuedRun, RunJobs
from tests.support.patience import until


class NoJobs:
    """What a worker is told where there are no jobs; its `leave` lasts until a beat after it."""

    def __init__(self) -> None:
        self.beats = 0
        self._left = False

    async def join(self) -> int:
        return 1

    async def heartbeat(self, worker: int) -> bool:
        self.beats += 1
        return not self._left

    async def leave(self, worker: int) -> None:
        self._left = True
        before = self.beats
        await until(lambda: self.beats > before or not _is_beating())

    async def take(self, worker: int, *, orders_only: bool) -> None:
        return None

    async def doing(self, worker: int) -> Sequence[int]:
        return ()

    async def sweep(self, worker: int, left: Sequence[int], **_: Any) -> tuple[int, int]:
        return 0, 0

    async def aclose(self) -> None:
        """There is no connection."""


def _is_beating() -> bool:
    return any(thread.name == "heart" for thread in threading.enumerate())


def working(jobs: NoJobs, ended: asyncio.Event, **given: Any) -> JobWorker:
    def make_heart(worker: int) -> Heart:
        return Heart(lambda: cast("RunJobs", jobs), worker, ended.set)

    async def none(_: object) -> Any:
        raise AssertionError

    def nothing(*_: object) -> None:
        """Nobody is told."""

    parts = {"room": lambda: True, "carry": none, "ordered": nothing, "lose": nothing}
    parts |= {"bury": lambda: None, "pass_on": lambda: None, **given}
    return JobWorker(cast("RunJobs", jobs), make_heart, (OSError,), **parts)


async def test_a_worker_that_leaves_does_not_take_itself_for_dead() -> None:
    jobs, ended = NoJobs(), asyncio.Event()
    worker = working(jobs, ended)
    await worker.open()
    await until(lambda: jobs.beats)
    await worker.close()
    assert not ended.is_set()


class Queue(NoJobs):
    """Jobs that are taken in their order; `looks` is how often it was looked for one."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[QueuedRun] = []
        self.looks = 0

    def add(self, run_id: str) -> None:
        self.waiting.append(QueuedRun(run_id, Lease(len(run_id), 0), new=True, waited=False))

    async def take(self, worker: int, *, orders_only: bool) -> QueuedRun | None:  # type: ignore[override]
        self.looks += 1
        await asyncio.sleep(0)
        return self.waiting.pop(0) if self.waiting and not orders_only else None

    async def held(self, leases: Sequence[Lease]) -> Sequence[HeldRun]:
        return [HeldRun(one, cancelled=False, hurried=None) for one in leases]

    async def finish(self, lease: Lease, thread_id: str, *, only_if_ended: bool) -> Finished:
        return Finished(gone=True, more=thread_id == "long")


async def test_it_is_looked_for_as_many_jobs_as_were_told_of_and_for_one_when_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK", 3600.0)  # only what is heard
    jobs, done, begun = Queue(), asyncio.Event(), list[str]()

    async def carry(taken: QueuedRun) -> Carried:
        begun.append(taken.run_id)
        await done.wait()
        return Carried("done", "long" if taken.run_id == "ab" else "short")

    worker = working(jobs, asyncio.Event(), carry=carry)
    await worker.open()
    await until(lambda: jobs.looks)  # nothing is there
    jobs.looks = 0
    for run_id in ("a", "ab"):
        jobs.add(run_id)
        worker.hear("queued", run_id)
    worker.hear("changed", "a")
    await until(lambda: len(begun) == 2)
    worker.look_for_room()
    await asyncio.sleep(0.1)
    looked = jobs.looks
    assert looked <= 2
    done.set()
    await until(lambda: jobs.looks > looked)  # another of its thread may begin
    await worker.close()


async def test_others_are_told_of_a_job_for_which_there_is_no_room_but_not_if_there_is_again() -> (
    None
):
    jobs, room, passed = Queue(), [False], asyncio.Event()
    worker = working(jobs, asyncio.Event(), room=lambda: room[0], pass_on=passed.set)
    await worker.open()
    worker.hear("queued", "a")
    await until(passed.is_set)

    passed.clear()
    worker.hear("queued", "b")
    room[0] = True
    worker.look_for_room()
    await asyncio.sleep(3 * module.PASSED_ON)
    assert not passed.is_set()

    await worker.stop_taking()
    worker.hear("queued", "c")
    await until(passed.is_set)
    await worker.close()


async def test_what_there_was_no_room_for_is_taken_once_there_is_some() -> None:
    jobs, room, begun = Queue(), [False], list[str]()

    async def carry(taken: QueuedRun) -> Carried:
        begun.append(taken.run_id)
        return Carried("done")

    worker = working(jobs, asyncio.Event(), carry=carry, room=lambda: room[0])
    await worker.open()
    for run_id in ("a", "ab", "abc"):
        jobs.add(run_id)
        worker.hear("queued", run_id)
    await until(lambda: jobs.looks > 1)
    assert begun == []
    room[0] = True
    worker.look_for_room()
    await until(lambda: begun == ["a", "ab", "abc"])
    await worker.close()


async def test_what_is_taken_takes_up_room_before_it_is_looked_for_the_next_one() -> None:
    jobs, begun, done = Queue(), list[str](), asyncio.Event()

    async def until_done() -> Carried:
        await done.wait()
        return Carried("done")

    def carry(taken: QueuedRun) -> Coroutine[Any, Any, Carried]:
        begun.append(taken.run_id)
        return until_done()

    for run_id in ("a", "ab", "abc"):
        jobs.add(run_id)
    worker = working(jobs, asyncio.Event(), carry=carry, room=lambda: not begun)
    await worker.open()
    await until(lambda: jobs.looks > 1)
    assert (begun, len(jobs.waiting)) == (["a"], 2)
    done.set()
    await worker.close()


async def test_jobs_of_which_no_news_came_are_found_all_the_same() -> None:
    jobs, begun = Queue(), list[str]()

    async def carry(taken: QueuedRun) -> Carried:
        begun.append(taken.run_id)
        return Carried("done")

    worker = working(jobs, asyncio.Event(), carry=carry)
    await worker.open()
    await until(lambda: jobs.looks)
    for run_id in ("a", "ab", "abc"):
        jobs.add(run_id)
    worker.hear("queued", "")  # several were given back
    await until(lambda: begun == ["a", "ab", "abc"])
    jobs.add("abcd")
    await until(lambda: begun[-1] == "abcd")
    await worker.close()
