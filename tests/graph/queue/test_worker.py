"""A worker that takes jobs which all processes share."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

from graph.queue.worker import Heart, JobWorker
from graph.storage.fleet import RunJobs
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


async def test_a_worker_that_leaves_does_not_take_itself_for_dead() -> None:
    jobs, ended = NoJobs(), asyncio.Event()

    def make_heart(worker: int) -> Heart:
        return Heart(lambda: cast("RunJobs", jobs), worker, ended.set)

    async def none(_: object) -> Any:
        raise AssertionError

    def nothing(*_: object) -> None:
        """Nobody is told."""

    worker = JobWorker(
        cast("RunJobs", jobs),
        make_heart,
        (OSError,),
        room=lambda: True,
        carry=none,
        ordered=nothing,
        lose=nothing,
        bury=lambda: None,
    )
    await worker.open()
    await until(lambda: jobs.beats)
    await worker.close()
    assert not ended.is_set()
