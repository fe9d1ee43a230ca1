"""What is done about runs of which nobody says anything: resumed, ended, removed.

A process that has the database alone resumes what an earlier one left. It may outlive a crash of
its database, which may have lost what came last, as checkpoints do not wait for the disk. What was
executed by then is given up, and resumed from what is stored as what an earlier process left.

Runs about whose questions nobody decides in time are ended. Settled ones are removed when they were
kept long enough.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from graph.runs.context import Orders, RunContext
from graph.runs.live import LiveRun
from graph.runs.recovery import apply_stored_retry, thread
from graph.runs.runner import Runner
from graph.state import question_of
from graph.state.row import ApprovalAnswer, DoubtAnswer, RunRow
from graph.storage.fleet import LeaseLost, SoleLease, Tenure, lease
from graph.storage.records import Audit
from graph.storage.storage import RunIndex

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


# Questions about which nobody decides in time.


def expiry(question: int) -> DoubtAnswer:
    """The decision about a step in doubt about which nobody has decided in time."""
    return DoubtAnswer(
        {
            "what": "expired",
            "question": question,
            "as": "fail",
            "output": None,
            "at": time.time(),
            "by": "server",
            "learned": None,
        }
    )


#: How often it is looked for plans that nobody has decided on, in seconds; sooner where they may
#: wait for minutes only, but never all the time.
SWEEP, SHORTEST_SWEEP = 60.0, 0.05

#: So many of them are ended at a time.
EXPIRED_AT_ONCE = 100


class Deadlines:
    """Ends the runs about whose questions nobody decides in time."""

    def __init__(self, context: RunContext, runner: Orders) -> None:
        self._storage, self._reader = context.storage, context.reader
        self._runner = runner
        self._sweeping: asyncio.Task[None] | None = None

    def start_sweeping(self, expires: float) -> None:
        """Look from now on which plans have expired, in proportion to when they do, in seconds."""
        every = max(SHORTEST_SWEEP, min(SWEEP, expires / 10))
        self._sweeping = asyncio.create_task(self.sweep(every))

    async def stop_sweeping(self) -> None:
        """Let no plan expire any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])

    async def sweep(self, every: float = SWEEP) -> None:
        """End the runs about whose plans nobody decides in time, at once and every so many seconds.

        Goes on until it is cancelled.
        """
        while True:
            try:
                while expired := await self._storage.index.expired(time.time(), EXPIRED_AT_ONCE):
                    for run_id in expired:
                        await self.expire(run_id)
            except self._storage.errors as error:
                self._storage.faults.tell(error)
            await asyncio.sleep(every)

    async def expire(self, run_id: str) -> bool:
        """End a run about whose plan nobody has decided; whether that is so."""
        index = self._storage.index
        row = await index.find(run_id)
        state = await self._reader.state(run_id) if row and row.question is not None else None
        if row is not None and row.question is not None and state and question_of(state):
            answer = expiry(row.question)
            won = await index.resolve(run_id, answer, generation=row.generation)
        else:
            approval_answer = ApprovalAnswer(
                what="expired", at=time.time(), by="server", reason=None, plan=None
            )
            if row is not None and row.question is not None:
                approval_answer["question"] = row.question
            generation = row.generation if row is not None else 0
            won = await index.decide(run_id, approval_answer, generation=generation)
        if won:
            await self._runner.decide(run_id)
        return won


# Retention: settled runs are removed some days after their end, few at a time.


retention_logger = logging.getLogger("runwright.retention")

DAY = 86_400.0

#: Most runs of one transaction, so that no other write waits long for it.
REMOVED_AT_ONCE = 10

#: How long the storage rests after a batch, in parts of the time that the batch took.
REST = 2.0

#: Bounds of the time between two sweeps, and the longest until the first, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE, FIRST = 0.5, 600.0, 5.0


class Retention:
    """Removes what was settled more than `days` days ago, and who did what with it after another
    `audit_days`; 0 of either is never.

    `remove` removes runs by their ids and tells how many, `give_back` gives the room that they have
    left back to the disk; `errors` are what both raise while the storage does not answer.
    """

    def __init__(
        self,
        index: RunIndex,
        remove: Callable[[Sequence[str]], Awaitable[int]],
        *,
        days: float,
        audit: Audit | None = None,
        audit_days: float = 0,
        errors: tuple[type[Exception], ...] = (),
        give_back: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._give_back = give_back
        self._index = index
        self._remove = remove
        self._kept = days * DAY
        self._audit = audit
        self._audit_kept = audit_days * DAY
        self._errors = errors

    async def sweep(self, now: float) -> int:
        """Remove all that is due at an epoch second, in small batches; how many runs that were."""
        removed = 0
        last: RunRow | None = None
        if self._audit and self._audit_kept:
            while await self._audit.prune(now - self._audit_kept, limit=REMOVED_AT_ONCE):
                pass
        if not self._kept:
            return 0
        # Beyond the last one seen, since a run that cannot be removed must not stop the others.
        while due := await self._index.settled_before(
            now - self._kept, after=last, limit=REMOVED_AT_ONCE
        ):
            last, began = due[-1], time.monotonic()
            removed += await self._remove([row.run_id for row in due])
            await asyncio.sleep(REST * (time.monotonic() - began))
        if removed:
            retention_logger.info("runs removed", extra={"runs": removed})
            if self._give_back:
                await self._give_back()
        return removed

    async def keep_sweeping(self) -> None:
        """Sweep until cancelled; a sweep that fails is made up for by the next."""
        pause = min(max((self._kept or DAY) / 10, SHORTEST_PAUSE), LONGEST_PAUSE)
        await asyncio.sleep(min(pause, FIRST))
        while True:
            try:
                await self.sweep(time.time())
            except self._errors as error:
                retention_logger.warning("runs cannot be removed just now: %s", error)
            except Exception:
                retention_logger.exception("removing runs failed")
            await asyncio.sleep(pause)


@asynccontextmanager
async def sweeping(retention: Retention | None) -> AsyncIterator[None]:
    """Sweep in the background for as long as the context lasts; not at all without a retention."""
    if retention is None:
        yield
        return
    task = asyncio.create_task(retention.keep_sweeping())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
