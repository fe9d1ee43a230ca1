"""Runs of a database that one process has alone: what an earlier one left, and what was lost since.

The process may outlive a crash of its database, which may have lost what came last, as checkpoints
do not wait for the disk. What was executed by then is given up, and resumed from what is stored as
what an earlier process left.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from graph.runs.context import RunContext, thread
from graph.runs.live import LiveRun
from graph.runs.recovery import apply_stored_retry
from graph.runs.runner import Runner
from graph.state.row import RunRow
from graph.storage.fleet import LeaseLost, SoleLease, lease
from graph.storage.owned import Tenure

logger = logging.getLogger("runwright.runs")

#: The shortest time between two looks at what is stored, in seconds.
PAUSE = 0.5


class LoneRuns:
    """Executes the runs of this process, and resumes those that nobody executes."""

    def __init__(self, context: RunContext, runner: Runner) -> None:
        self._context, self._runner = context, runner
        self._storage, self._executor = context.storage, context.executor
        self._runs, self._thread_queues = context.live, context.thread_queues
        self._tenure = context.storage.tenure
        #: With which lease each run is executed, unless it is given up.
        self._leases: dict[str, SoleLease] = {}
        self._since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, *, resume_unfinished: bool) -> None:
        """Begin to execute; with `resume_unfinished` also what an earlier process left.

        Raises what the storage raises.
        """
        if resume_unfinished:
            await self._queue_unfinished()
        else:
            self._since = time.time()  # earlier ones are left as they are
        if tenure := self._tenure:
            self._executor.start(partial(self._execute, tenure), self._runs.release)
            self._do(self._watch(tenure))
        else:
            self._executor.start(self._runner.execute, self._runs.release)

    async def close(self) -> None:
        """Resume nothing more."""
        for task in (tasks := [*self._tasks]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _queue_unfinished(self) -> None:
        """Settle the runs whose cancellation was asked for, and queue those that are to go on.

        A run that waits for a person is left to wait.
        """
        left = await self._storage.index.unsettled()
        for row in left:
            if row.cancel_at is not None:
                await self._runner.execute(row.run_id)
        left = [row for row in left if row.cancel_at is None]
        heads, due = _heads(left), _due(left)
        for row in due:
            await apply_stored_retry(self._context.graph, row, thread(row.run_id))
        for row in due:
            self._runner.enqueue_unfinished(row, is_head=heads[row.thread] is row)

    async def _execute(self, tenure: Tenure, run_id: str) -> None:
        """As `Runner.execute`, but what it writes is refused once the database lost something."""
        mine = self._leases[run_id] = tenure.lease
        lease.set(mine)
        try:
            await self._runner.execute(run_id)
        except LeaseLost:
            self._note_given_up(self._runs.of(run_id))
        finally:
            self._leases.pop(run_id, None)
            if mine != tenure.lease:
                tenure.look.set()

    def _note_given_up(self, live: LiveRun) -> None:
        about = {"run_id": live.run_id, "trace_id": live.trace_id}
        logger.warning("run is resumed from what the database has not lost", extra=about)
        live.unsettled = False

    # After the database was away.

    async def _watch(self, tenure: Tenure) -> None:
        while True:
            await tenure.look.wait()
            tenure.look.clear()
            lease.set(tenure.lease)
            self._give_up(tenure.lease)
            try:
                await self._resume()
            except LeaseLost:
                tenure.look.set()
            except self._storage.errors as error:
                self._storage.faults.tell(error)
                tenure.look.set()
            await asyncio.sleep(PAUSE)

    def _give_up(self, current: SoleLease) -> None:
        """End each execution that began before the database lost something."""
        for run_id, began in [*self._leases.items()]:
            live = self._runs.get(run_id)
            if began != current and live:
                del self._leases[run_id]
                self._note_given_up(live)
                self._executor.interrupt(live)

    async def _resume(self) -> None:
        """Let each run go on that is to, and of which nothing here knows. Raises what the storage
        raises.

        An order, or an acceptance, may be stored that was not acknowledged.
        """
        # A write of what was given up may still be on its way, or its connection be gone.
        await self._storage.check()
        rows = await self._storage.index.unsettled()
        left = [row for row in rows if row.created_at >= self._since]
        for row in left:
            live = self._runs.get(row.run_id)
            if row.cancel_at is not None and not (live and live.reason == "cancelling"):
                self._do(self._runner.cancel(row.run_id))
        left = [row for row in left if row.cancel_at is None]
        heads = _heads(left)
        for row in _due(left):
            if self._is_known(row.run_id):
                continue
            await self._storage.spending.count_left(row.run_id)
            await self._take_over_retry(row)
            if not self._is_known(row.run_id):
                is_head = heads[row.thread] is row and self._thread_queues.is_free(row.thread)
                self._runner.enqueue_unfinished(row, is_head=is_head)
                self._thread_queues.pass_on(row.thread)

    async def _take_over_retry(self, row: RunRow) -> None:
        if row.retry is not None:
            live = self._runs.of(row.run_id)
            async with live.lock:
                await apply_stored_retry(self._context.graph, row, thread(row.run_id))
                self._context.settled.drop(row.run_id)
            self._runs.release(live)

    def _is_known(self, run_id: str) -> bool:
        """Whether something here has to do with a run, beside watching it."""
        live = self._runs.get(run_id)
        busy = live and (live.reason or live.task or live.queued or live.lock.locked())
        return bool(busy) or run_id in self._executor.accepting

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _heads(left: Sequence[RunRow]) -> Mapping[str, RunRow]:
    """At which run each thread is."""
    heads: dict[str, RunRow] = {}
    for row in sorted(left, key=lambda row: row.status == "pending"):
        heads.setdefault(row.thread, row)
    return heads


def _due(left: Sequence[RunRow]) -> Sequence[RunRow]:
    """Those that are to go on, first those that were started before and got no further."""
    due = [row for row in left if row.status != "waiting" or row.approval_answer]
    return sorted(due, key=lambda row: row.checkpoint_id is None)
