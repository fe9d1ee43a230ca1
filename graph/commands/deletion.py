"""Deleting runs that have ended: one that is asked for, and those that were kept long enough."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from graph.runs.context import RunContext, RunNotFound
from graph.runs.recovery import is_due
from graph.runs.threads import ThreadNotFound
from graph.state import RunState, Status, attempts, step_key
from graph.state.row import RunArtifacts, RunRow, facts_of
from graph.state.status import SETTLED, WrongStatus
from graph.storage.changes import Audit
from graph.storage.storage import RunIndex, StorageUnavailable
from tools.receipts import BEGUN, BLOBS, RECEIPTS, namespace

logger = logging.getLogger("runwright.runs")

#: Who removes runs that were kept long enough, and those of all owners where nobody is named.
RETENTION, SERVER = "retention", "server"


class NotSettled(WrongStatus):
    """The run has not ended and cannot be removed."""

    rule = "only one that has ended can be removed"


class ThreadNotSettled(Exception):
    """A run of the thread has not ended, so that nothing of it can be removed."""

    def __init__(self, thread_id: str, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} of thread {thread_id} is {status}")
        self.thread_id = thread_id
        self.run_id = run_id
        self.status = status


class Deletion:
    """Removes what is settled, with everything that is kept of it, and nothing else."""

    def __init__(self, context: RunContext) -> None:
        self._storage = context.storage
        self._reader = context.reader
        self._subscriptions = context.broadcaster
        self._settled = context.settled

    async def remove(self, run_id: str, *, owner: str | None, by: str | None = None) -> None:
        """As `Runs.remove`."""
        await self._settle(await self._reader.admitted(run_id, owner))
        if await self.remove_settled([run_id], by=by or owner or SERVER):
            return
        with self._storage.available():
            row = await self._storage.index.find(run_id)  # gone, or told to go on meanwhile
        if row is None:
            raise RunNotFound(run_id)
        raise NotSettled(run_id, row.status)

    async def remove_thread(
        self, thread_id: str, *, owner: str | None, by: str | None = None
    ) -> None:
        """As `Threads.remove`."""
        threads, removed = self._storage.threads, 0
        with self._storage.available():
            members = await threads.members(thread_id, owner)
        try:
            states = [await self._reader.state(run_id) for run_id, _ in members]
            for state in states:
                await self._settle(state)
            removed = 0
            if states:
                removed = await self._remove(states, thread_id, by=by or owner or SERVER)
        except NotSettled as error:
            raise ThreadNotSettled(thread_id, error.run_id, error.status) from None
        except RunNotFound:
            pass  # it was removed meanwhile
        if removed:
            return
        with self._storage.available():
            left = await threads.members(thread_id, owner)
        for run_id, status in left:  # told to go on, or posted, meanwhile
            raise ThreadNotSettled(thread_id, run_id, status)
        raise ThreadNotFound(thread_id)

    async def _settle(self, state: RunState) -> None:
        """See that the row of a run says that it has ended. Raises `NotSettled`."""
        run_id = state["run_id"]
        if state["status"] not in SETTLED:
            raise NotSettled(run_id, state["status"])
        # The checkpoint wins, and what its projection lacks must not keep it.
        with self._storage.available():
            row = await self._storage.index.find(run_id)
            if row is not None and is_due(row.retry, state):
                raise NotSettled(run_id, row.status)
            await self._storage.index.project(
                run_id,
                state["status"],
                started_at=state["started_at"],
                completed_at=state["completed_at"],
                facts=facts_of(state),
                generation=state["generation"],
            )

    async def remove_settled(self, run_ids: Sequence[str], *, by: str = RETENTION) -> int:
        """Remove those of these runs that are settled, together; how many that were.

        A run whose state cannot be read stays. Raises `StorageUnavailable`.
        """
        found: list[RunState] = []
        for run_id in run_ids:
            try:
                state = await self._reader.state(run_id)
                if state["status"] in SETTLED:
                    found.append(state)
            except RunNotFound:
                continue
            except StorageUnavailable:
                raise
            except Exception:
                logger.exception("run cannot be read, and stays", extra={"run_id": run_id})
        return await self._remove(found, by=by) if found else 0

    async def _remove(
        self, states: Sequence[RunState], thread_id: str | None = None, *, by: str
    ) -> int:
        """Remove runs as far as the storage lets them go; how many it did."""
        found = [artifacts_of(state) for state in states]
        with self._storage.available():
            removing = self._storage.remove(found, thread_id, by=by)
            removed = await asyncio.shield(removing)
        for state in states:
            self._subscriptions.forget(state["run_id"])
            if fork := state.get("forked_from"):
                self._settled.drop(fork["run_id"])  # its record names its forks
        return removed


def artifacts_of(state: RunState) -> RunArtifacts:
    """What is kept of a run. The keys are those of every attempt that it can have made."""
    edited, proposed = state["plan"], state.get("plan_proposed")
    steps = max(
        len(edited["steps"]),
        len(proposed["steps"]) if proposed else 0,
        *(attempt["step"] for attempt in attempts(state)),
        0,
    )
    return RunArtifacts(
        run_id=state["run_id"],
        generation=state["generation"],
        receipts=[namespace(kind, state["owner"]) for kind in (RECEIPTS, BEGUN, BLOBS)],
        step_keys=[
            step_key({**state, "generation": generation}, step)
            for generation in range(state["generation"] + 1)
            for step in range(1, steps + 1)
        ],
    )


# Retention: settled runs are removed some days after their end, few at a time.


retention_logger = logging.getLogger("runwright.retention")

DAY = 86_400.0

#: Most runs of one transaction, so that no other write waits long for it.
BATCH = 10

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
            while await self._audit.prune(now - self._audit_kept, limit=BATCH):
                pass
        if not self._kept:
            return 0
        # Beyond the last one seen, since a run that cannot be removed must not stop the others.
        while due := await self._index.settled_before(now - self._kept, after=last, limit=BATCH):
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
