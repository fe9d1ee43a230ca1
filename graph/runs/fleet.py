"""Runs of a database that many processes share: executed by any of them, ordered about from all.

What is ordered is stored with a job that carries it out, in one transaction; news only make it
sooner. A process that does not execute a run reads its states when it hears that they changed, and
looks each second for what it did not hear.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Container, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from graph.queue.executor import Job
from graph.queue.worker import LEASE, LOOK, Carried, Heart, JobWorker
from graph.runs.context import RunContext, RunNotFound
from graph.runs.live import LiveRun
from graph.runs.runner import CANCEL_WAIT, Runner
from graph.runs.watch import AnswerDelta, Speech
from graph.state import RunState, next_attempt
from graph.state.row import RunRow
from graph.state.status import SETTLED
from graph.storage.fleet import (
    NO_LEASE,
    Fleet,
    HeldRun,
    LeaseLost,
    News,
    QueuedRun,
    StoredRun,
    lease,
)
from graph.storage.storage import Storage

logger = logging.getLogger("runwright.runs")

#: A run that waits for longer than so many seconds waits in the database, so that no process has
#: it; it may begin up to `LOOK` seconds late then.
LONG_BACKOFF = 5.0

#: Over how many seconds it is counted how many runs end.
RATE = 10.0

#: How long it may take that news are missed, beyond the time in which none came, in seconds.
LATEST = 10.0


@dataclass(eq=False)
class _Execution:
    """A run that is executed here, under a lease."""

    taken: QueuedRun
    lost: bool = False
    parked: Carried | None = None  # where it is given back since it only waits
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class FleetRuns:
    """What one process has to do with the runs of all: watches, orders and, as a worker, executes.

    `make_heart` makes what gives the worker's signs of life.
    """

    def __init__(
        self,
        context: RunContext,
        runner: Runner,
        fleet: Fleet,
        make_heart: Callable[[int], Heart] | None = None,
        *,
        work: bool = True,
    ) -> None:
        self._context, self._runner = context, runner
        self._storage: Storage = context.storage
        self._executor, self._runs = context.executor, context.live
        self._jobs, self._notices, self._deaths = fleet.jobs, fleet.notices, fleet.deaths
        self._executions: dict[str, _Execution] = {}
        self._work, self._stopping, self._alone = work, False, False
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._orders: set[asyncio.Task[object]] = set()
        self._worker: JobWorker | None = None
        self._watching = _Watching(context, fleet)
        self._speech = Speech(fleet, context.storage.errors)
        self._make_heart = make_heart or (lambda worker: Heart(fleet.other_jobs, worker))

    async def open(self) -> None:
        """Begin to hear, and to take jobs if it is to `work`. Raises what the storage raises."""
        self._executor.start(self._execute, self._release)
        self._context.broadcaster.follow = self._notices.follow
        if self._work:
            self._worker = JobWorker(
                self._jobs,
                self._make_heart,
                self._storage.errors,
                room=self._has_room,
                carry=self._carry,
                ordered=self._ordered,
                lose=self._lose,
                bury=self._deaths.set,
                pass_on=self._pass_on,
            )
            await self._jobs.audit()
            self._notices.work_as(await self._worker.open())
            self._runs.overhears = self._speech.hear
            self._tasks.append(asyncio.create_task(self._speech.store()))
        for watching in (self._watching.read(), self._look()):
            self._tasks.append(asyncio.create_task(watching))
        await self._stack.enter_async_context(self._notices.hearing(self._hear))

    async def stop_taking(self) -> None:
        """Take no further jobs."""
        self._stopping = True
        if self._worker:
            await self._worker.stop_taking()
            logger.info("no more runs are taken")

    async def close(self) -> None:
        """Give back what has not ended, and hear no more."""
        if self._worker:
            await self._worker.close()
        for task in (*self._tasks, *self._orders):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._orders, return_exceptions=True)
        await self._stack.aclose()

    # Orders, which were stored with a job.

    async def cancel(self, run_id: str) -> None:
        """Return when the run is settled, or after `CANCEL_WAIT` seconds."""
        await self._until(run_id, lambda state: state["status"] in SETTLED)

    async def decide(self, run_id: str) -> None:
        """Return when the run waits no more, or after `CANCEL_WAIT` seconds."""
        await self._until(run_id, lambda state: state["status"] != "waiting")

    async def hurry(self, run_id: str) -> bool:
        """Tell who executes the run not to wait for its next attempt; whether it does."""
        due = next_attempt(await self._context.reader.state(run_id))
        if due is None:
            return False
        with self._storage.available():
            hurried = await self._jobs.hurry(run_id, due)
        self._notices.tell(run_id, "ordered")
        return hurried

    async def _until(self, run_id: str, holds: Callable[[RunState], bool]) -> None:
        self._notices.tell(run_id, "ordered")
        with suppress(TimeoutError, RunNotFound):
            async with (
                asyncio.timeout(CANCEL_WAIT),
                self._context.broadcaster.watching(run_id, latest=True) as subscription,
            ):
                while subscription.state and not holds(subscription.state):
                    if subscription.ended or subscription.closed:
                        return
                    await subscription.after(len(subscription.events))

    # What is heard.

    def _hear(self, news: News, run_id: str) -> None:
        if self._worker:
            self._worker.hear(news, run_id)
        if news == "missed":
            self._watching.look.set()
        elif news == "changed" and run_id and run_id not in self._executions:
            self._watching.heard(run_id)

    async def _look(self) -> None:
        """Look each second for what was not heard, and for what only waits here."""
        while True:
            for execution in self._executions.values():
                self._park(execution)
            with suppress(*self._storage.errors):
                load = await self._jobs.load(RATE, LEASE)
                self._executor.elsewhere = load.waiting
                self._executor.throughput.fleet_rate = load.ended / RATE
                self._notices.followed = load.followed
                self._alone = load.workers < 2
                await self._watching.catch_up(self._executions)
            self._watching.look.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._watching.look.wait()

    # Execution.

    def _has_room(self) -> bool:
        """Whether a run that is taken now begins soon: others may have the room for it."""
        load = self._executor.load()
        waiting = load["queued"] + sum(
            not execution.ended.is_set() and self._not_begun(run_id)
            for run_id, execution in self._executions.items()
        )
        has_place = load["in_flight"] + waiting < load["max_in_flight"]
        return has_place and waiting < max(1, load["max_executing"] // 4)

    def _pass_on(self) -> None:
        if not self._alone:
            self._notices.tell("", "queued")

    def _not_begun(self, run_id: str) -> bool:
        live = self._runs.get(run_id)
        return live is None or (live.task is None and not live.queued)

    def _carry(self, taken: QueuedRun) -> Coroutine[Any, Any, Carried]:
        """Do a job, which has its room from now on."""
        if taken.row is None or not _is_due(taken.row, taken):
            return _nothing_due(taken.row)
        execution = self._executions[taken.run_id] = _Execution(taken)
        return self._carried(execution, taken.row)

    async def _carried(self, execution: _Execution, row: RunRow) -> Carried:
        taken = execution.taken
        try:
            if taken.left:
                await self._storage.spending.count_left(row.run_id)
            self._begin(self._runs.of(row.run_id), row, taken)
            await execution.ended.wait()
        finally:
            del self._executions[row.run_id]
        if execution.lost:
            return Carried("lost")
        return Carried("done", row.thread, otherwise=self._give_back(execution))

    def _begin(self, live: LiveRun, row: RunRow, taken: QueuedRun) -> None:
        if row.cancel_at is not None or row.status == "waiting":
            # Somebody waits for it: it begins at once, without a slot.
            live.reason, live.owner = "recovered" if row.cancel_at else "decided", row.owner
            self._context.thread_queues.begin(live, row.thread)
            self._executor.interrupt(live)
        elif taken.left:
            self._runner.enqueue_unfinished(row, is_head=True)
        else:
            live.reason, live.row = ("new", row) if taken.new else ("decided", None)
            self._context.thread_queues.enqueue_head(live, row)

    def _give_back(self, execution: _Execution) -> Carried:
        """How another goes on with a run that was left in order, as when this process ends."""
        live = self._runs.of(execution.taken.run_id)
        live.unsettled = False
        self._runs.release(live)
        return execution.parked or Carried("again", pause=0.0 if self._stopping else LOOK)

    def _park(self, execution: _Execution) -> None:
        """End the execution of a run that waits for its next attempt for long."""
        live = self._runs.get(execution.taken.run_id)
        if not (live and live.state and live.backoff) or live.backoff.is_set():
            return
        due, pause = next_attempt(live.state), live.backoff_until - time.time()
        if due and pause > LONG_BACKOFF and not execution.parked and live.reason != "cancelling":
            execution.parked = Carried("again", pause=pause, due=due)
            self._executor.interrupt(live)

    async def _execute(self, run_id: str) -> None:
        """As `Runner.execute`, but what it writes is refused once another process has the run."""
        execution = self._executions.get(run_id)
        lease.set(execution.taken.lease if execution else NO_LEASE)
        if execution is None or execution.lost:
            return
        if self._worker:
            self._worker.look_for_room()
        try:
            await self._runner.execute(run_id)
        except LeaseLost:
            execution.lost = True
            logger.warning("run is executed elsewhere", extra={"run_id": run_id})
        if execution.lost:
            self._runs.of(run_id).unsettled = False

    def _release(self, job: Job) -> None:
        if execution := self._executions.get(job.run_id):
            execution.ended.set()
        self._runs.release(job)
        if self._worker:
            self._worker.look_for_room()

    def _ordered(self, taken: QueuedRun, held: HeldRun) -> None:
        execution = self._executions.get(taken.run_id)
        if execution is None or execution.taken is not taken:
            return
        live = self._runs.get(taken.run_id)
        if live is None or execution.parked:
            return
        if held.cancelled and live.reason != "cancelling":
            self._do(self._runner.cancel(taken.run_id))
        elif live.state and held.hurried and held.hurried == next_attempt(live.state):
            self._do(self._runner.hurry(taken.run_id))

    def _lose(self, taken: QueuedRun) -> None:
        execution, live = self._executions.get(taken.run_id), self._runs.get(taken.run_id)
        if execution is None or execution.taken is not taken or execution.lost or live is None:
            return
        execution.lost = True
        about = {"run_id": taken.run_id, "trace_id": live.trace_id}
        logger.warning("run is executed elsewhere", extra=about)
        self._executor.interrupt(live)

    def _do(self, command: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(command)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)


async def _nothing_due(row: RunRow | None) -> Carried:
    return Carried("done", row.thread if row else "")


def _is_due(row: RunRow, taken: QueuedRun) -> bool:
    """Whether there is something to be done about a run now."""
    if row.cancel_at is None and row.status == "waiting":
        return row.approval_answer is not None
    return row.status not in SETTLED and (row.cancel_at is not None or taken.begins)


class _Watching:
    """Reads the states of runs that are executed elsewhere, and watched here."""

    def __init__(self, context: RunContext, fleet: Fleet) -> None:
        self._context, self._jobs = context, fleet.jobs
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._seen: dict[str, StoredRun] = {}
        self._spoken: dict[str, int] = {}
        self._notices = fleet.notices
        self._all_seen: dict[str, StoredRun] = {}
        self._heard_at: float | None = None
        self._missing = False
        self.look = asyncio.Event()

    def heard(self, run_id: str) -> None:
        """A run has changed, or its answer has got longer."""
        if self._context.broadcaster.follows(run_id):
            self._due[run_id] = None
            self._wake.set()

    async def catch_up(self, here: Container[str]) -> None:
        """Look what was not heard of those that are watched, and not executed here."""
        runs = self._context.live
        watched = [one.run_id for one in runs if one.subscription and one.run_id not in here]
        self._seen = {run_id: seen for run_id, seen in self._seen.items() if run_id in watched}
        self._spoken = {run_id: last for run_id, last in self._spoken.items() if run_id in watched}
        if self._context.broadcaster.followed:
            await self._catch_up_with_all(here)
        if not watched:
            return
        for run_id, stored in (await self._jobs.stored(watched)).items():
            if self._seen.get(run_id) != stored:
                self._seen[run_id] = stored
                self.heard(run_id)

    async def _catch_up_with_all(self, here: Container[str]) -> None:
        """Look what has changed of all runs, for as long as no news of them arrive."""
        self._notices.tell("")  # only what was told can be missed
        now = time.monotonic()
        missing, self._missing = self._notices.deaf or self._missing, self._notices.deaf
        if not missing:
            self._heard_at, self._all_seen = now, {}
            return
        since = now - (self._heard_at or now) + LATEST
        stored = await self._jobs.changed(since)
        for run_id, seen in stored.items():
            if run_id not in here and self._all_seen.get(run_id) != seen:
                self.heard(run_id)
        self._all_seen = dict(stored)

    async def read(self) -> None:
        """Read what is due, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            for run_id in due:
                try:
                    await self._read(run_id)
                except RunNotFound:
                    continue
                except self._context.storage.errors:
                    self._seen.pop(run_id, None)  # it is read again within a second
                except Exception:
                    logger.exception("run cannot be shown", extra={"run_id": run_id})

    async def _read(self, run_id: str) -> None:
        state = await self._context.reader.stored(run_id)
        self._context.broadcaster.show(state)
        live = self._context.live.get(run_id)
        if live is None or live.subscription is None or state["status"] != "running":
            return
        last = self._spoken.get(run_id, 0)
        for part in await self._jobs.spoken(run_id, last):
            live.subscription.answered(AnswerDelta(text=part.text, offset=part.offset))
            self._spoken[run_id] = part.number
