"""What is done with threads as a whole: opened, listed, named, read, removed."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from langgraph.types import StateSnapshot

from graph.commands.deletion import Deletion
from graph.record.record import Record
from graph.runs.accept import checked_name
from graph.runs.context import RunContext, RunNotFound, thread
from graph.runs.history import snapshot_of, snapshots_of
from graph.runs.threads import ThreadNotFound, normal_name
from graph.state import RunState, Status
from graph.storage.search import Position, Search, decode, encode
from graph.storage.threads import Head, OpenedThread, Thread, ThreadChange, ThreadPage

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
