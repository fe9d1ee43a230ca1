"""Reading runs: whose they are, and how they stand as last stored."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph
from graph.queue.executor import Executor
from graph.record.record import Record, record_of
from graph.runs.live import LiveRuns
from graph.state import RunState
from graph.state.row import state_of
from graph.storage.storage import Storage

logger = logging.getLogger("runwright.runs")


class RunNotFound(Exception):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class StorageUnavailable(Exception):
    """The storage cannot be read or written just now; the same call may succeed later."""

    def __init__(self) -> None:
        super().__init__("the storage does not answer")


class RunReader:
    """States of runs, from memory while they are executed here, else from the storage.

    `graph` reads checkpoints without queueing behind the writer.
    """

    def __init__(
        self, graph: RunGraph, storage: Storage, live: LiveRuns, executor: Executor
    ) -> None:
        self.graph = graph.copy({"checkpointer": storage.reader})
        self._storage = storage
        self._live = live
        self._executor = executor

    async def admit(self, run_id: str, owner: str | None) -> None:
        """Raises `RunNotFound` for a run that is not the owner's, and `StorageUnavailable`.

        One that is another's takes the same steps as one that is not there, so that neither the
        answer nor its time tells them apart.
        """
        if not _is_run_id(run_id):
            raise RunNotFound(run_id)
        if (state := self._live.state(run_id)) and owner in (state["owner"], None):
            return
        with self.available():
            owned = await self._storage.index.owned(run_id, owner)
        if not owned:
            raise RunNotFound(run_id)

    async def admitted(self, run_id: str, owner: str | None) -> RunState:
        """The state of an owner's run. Raises what `admit` raises."""
        await self.admit(run_id, owner)
        return await self.state(run_id)

    async def state(self, run_id: str) -> RunState:
        """The state of a run of any owner. Raises `RunNotFound` and `StorageUnavailable`."""
        if state := self._live.state(run_id):
            return state
        with self.available():
            snapshot = await self.graph.aget_state(thread(run_id))
            # It may have been begun meanwhile. What is told of it then must not be later than what
            # the next call is told, which could not decide about a plan that this one saw wait.
            if state := self._live.state(run_id):
                return state
            if snapshot.created_at:
                return cast("RunState", snapshot.values)
            found = await self._storage.index.find(run_id)
        if found is None:
            raise RunNotFound(run_id)
        return state_of(found)

    async def record(self, state: RunState) -> Record:
        """The record of a state, with the runs forked from it. Raises `StorageUnavailable`."""
        run_id = state["run_id"]
        with self.available():
            forks = await self._storage.index.forks(run_id)
        return record_of(state, queue_position=self.position(run_id), forks=forks)

    def position(self, run_id: str) -> int | None:
        """The place of a run in the queue, counted from 1; None when it is not queued."""
        live = self._live.get(run_id)
        return self._executor.position(live) if live else None

    @contextmanager
    def available(self) -> Iterator[None]:
        """What the storage raises inside becomes `StorageUnavailable`."""
        try:
            yield
        except self._storage.errors as error:
            logger.warning("storage does not answer", exc_info=True)
            raise StorageUnavailable from error


def thread(run_id: str) -> RunnableConfig:
    """Where the checkpoints of a run are."""
    return {"configurable": {"thread_id": run_id}}


def _is_run_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
