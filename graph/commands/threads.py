"""What is removed for good, a run or a whole thread; and what else is done with threads.

Only what has ended is removed, with everything that is kept of it. Threads are opened, listed,
named and read as a whole.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from langgraph.types import StateSnapshot

from graph.record.generations import is_due
from graph.record.record import Record
from graph.runs.accept import checked_name
from graph.runs.context import RunContext, RunNotFound
from graph.runs.history import snapshot_of, snapshots_of
from graph.runs.recovery import thread
from graph.runs.threads import ThreadNotFound, normal_name
from graph.state import RunState, Status, attempts, step_key
from graph.state.row import RunArtifacts
from graph.state.run import facts_of
from graph.state.status import SETTLED, WrongStatus
from graph.storage.records import Head, OpenedThread, Thread, ThreadChange, ThreadPage
from graph.storage.search import Position, Search, decode, encode
from graph.storage.storage import StorageUnavailable
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


#: What cursors of lists of threads are bound to: the search of runs in a thread that cannot be.
_LIST = Search(thread_id="")


class Threads:
    """The threads of owners: another's are not found; an `owner` of None finds all."""

    def __init__(self, context: RunContext, deletion: Deletion) -> None:
        self._storage = context.storage
        self._threads = context.storage.threads
        self._reader = context.reader
        self._deletion = deletion

    async def check(self, thread_id: str, *, owner: str | None) -> None:
        """Raises `ThreadNotFound` where the owner has no such thread, and `StorageUnavailable`."""
        with self._storage.available():
            if not await self._threads.owned(thread_id, owner):
                raise ThreadNotFound(thread_id)

    async def page(
        self, owner: str, *, limit: int, cursor: str | None = None, name: str | None = None
    ) -> ThreadPage:
        """Threads of an owner, those with the newest runs first, or the one of a name.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        name = None if name is None else normal_name(name)
        search = replace(_LIST, text=name)
        before = None if cursor is None else decode(cursor, search, owner=owner).number
        with self._storage.available():
            found, more = await self._threads.page(owner, limit=limit, before=before, name=name)
        after = (
            None if more is None else encode(Position(key=None, number=more), search, owner=owner)
        )
        return ThreadPage(threads=list(found), next_cursor=after)

    async def get(self, thread_id: str, *, owner: str | None) -> Thread:
        """One thread. Raises `ThreadNotFound` and `StorageUnavailable`."""
        with self._storage.available():
            found = await self._threads.find(thread_id, owner)
        if found is None:
            raise ThreadNotFound(thread_id)
        return found

    async def head(self, owner: str, *, thread_id: str | None, name: str | None) -> Head | None:
        """The run that a thread of the owner is at. Raises `StorageUnavailable`."""
        with self._storage.available():
            if name is not None:
                thread_id = await self._threads.named(owner, normal_name(name))
            if thread_id is None or not await self._threads.owned(thread_id, owner):
                return None
            return await self._threads.head(thread_id)

    async def change(self, thread_id: str, change: ThreadChange, *, owner: str | None) -> Thread:
        """Name a thread, or say what it is known by.

        Raises `ChoiceRejected`, `ThreadNotFound`, `NameTaken` and `StorageUnavailable`.
        """
        if change.name is not None:
            change = replace(change, name=checked_name(change.name))
        with self._storage.available():
            if not await self._threads.change(thread_id, owner, change):
                raise ThreadNotFound(thread_id)
        return await self.get(thread_id, owner=owner)

    async def open(
        self, thread_id: str, metadata: Mapping[str, str], *, owner: str
    ) -> OpenedThread | None:
        """Keep a thread ahead of its first run; None where its id is taken.

        Raises `StorageUnavailable`.
        """
        opened = OpenedThread(thread_id, metadata, time.time())
        with self._storage.available():
            return opened if await self._threads.open(opened, owner) else None

    async def opened(self, owner: str, thread_id: str | None = None) -> Sequence[OpenedThread]:
        """The owner's threads without a run, the newest first, or the one with this id.

        Raises `StorageUnavailable`.
        """
        with self._storage.available():
            return await self._threads.opened(owner, thread_id)

    async def remark(self, thread_id: str, metadata: Mapping[str, str], *, owner: str) -> None:
        """Say what a thread is known by, be it one without a run.

        Raises `ThreadNotFound` and `StorageUnavailable`.
        """
        with self._storage.available():
            change = ThreadChange(metadata=metadata)
            if not await self._threads.change(thread_id, owner, change):
                raise ThreadNotFound(thread_id)

    async def close(self, thread_id: str, *, owner: str | None) -> bool:
        """Forget a thread without a run; whether there was one. Raises `StorageUnavailable`."""
        with self._storage.available():
            return await self._threads.close(thread_id, owner)

    async def members(self, thread_id: str, *, owner: str | None) -> Sequence[tuple[str, Status]]:
        """The runs of a thread and how they stand, in the order of acceptance.

        Raises `StorageUnavailable`.
        """
        with self._storage.available():
            return await self._threads.members(thread_id, owner)

    async def checkpoints(
        self, thread_id: str, *, limit: int, before: str | None = None, at: str | None = None
    ) -> Sequence[tuple[str, str]]:
        """The runs and ids of a thread's checkpoints, of any owner, those with the greatest ids
        first: before one, or only that. Raises `StorageUnavailable`.
        """
        with self._storage.available():
            return await self._threads.checkpoints(thread_id, limit=limit, before=before, at=at)

    async def state(self, run_id: str) -> RunState | None:
        """A run of a thread as last stored, of any owner; None where it is gone.

        Raises `StorageUnavailable`.
        """
        try:
            return await self._reader.state(run_id)
        except RunNotFound:
            return None

    async def snapshots(
        self, run_id: str, *, limit: int | None = None, before: str | None = None
    ) -> Sequence[StateSnapshot]:
        """The checkpoints of a run of any owner, the newest first; those before one.

        Raises `CheckpointNotFound` and `StorageUnavailable`.
        """
        with self._storage.available():
            return await snapshots_of(
                self._reader.graph, thread(run_id), limit=limit, before=before
            )

    async def snapshot(self, run_id: str, checkpoint_id: str) -> StateSnapshot:
        """One checkpoint of a run of any owner.

        Raises `CheckpointNotFound` and `StorageUnavailable`.
        """
        place = thread(run_id)
        place["configurable"]["checkpoint_id"] = checkpoint_id
        with self._storage.available():
            return await snapshot_of(self._reader.graph, place)

    async def remove(self, thread_id: str, *, owner: str | None, by: str | None = None) -> None:
        """Remove a thread with all of its runs, for good.

        Raises `ThreadNotFound`, `ThreadNotSettled` and `StorageUnavailable`, and then nothing of it
        is removed.
        """
        await self._deletion.remove_thread(thread_id, owner=owner, by=by)

    async def records(self, thread_id: str, *, owner: str | None) -> AsyncIterator[Record]:
        """The records of its runs, in the order of acceptance; without those removed meanwhile.

        Raises `StorageUnavailable`.
        """
        with self._storage.available():
            members = await self._threads.members(thread_id, owner)
        for run_id, _ in members:
            try:
                yield await self._reader.record(await self._reader.state(run_id))
            except RunNotFound:
                continue
