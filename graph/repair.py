"""Repairing runs: going on with one that has ended, or from a checkpoint of it as a new one."""

import asyncio
import logging
import time
from collections.abc import Mapping
from uuid import uuid4
from weakref import WeakValueDictionary

from graph.acceptance import Acceptance
from graph.build import RunGraph
from graph.driver import Driver
from graph.executor import Executor
from graph.feeds import Feeds
from graph.forking import Edits, seed_of
from graph.history import CheckpointNotFound, checkpoint_of
from graph.index import RunRow
from graph.live import Live
from graph.reader import RunReader, StorageUnavailable, thread
from graph.record import Record
from graph.retrying import NotRetryable, RetryOrder, RetryRequest, order_of
from graph.state import RunState
from graph.status import WrongStatus, may_become
from graph.storage import Storage
from graph.take_up import resume
from tools.registry import Tool

logger = logging.getLogger("runwright.runs")

#: How long the end of what executes a run is waited for, in seconds.
END_TIMEOUT = 1.0


class NoBackoff(WrongStatus):
    """The run does not wait for another attempt."""


class Repair:
    """Orders to go on: each is on disk before anything is done about it."""

    def __init__(
        self,
        graph: RunGraph,
        storage: Storage,
        tools: Mapping[str, Tool],
        executor: Executor,
        driver: Driver,
        live: Live,
        reader: RunReader,
        acceptance: Acceptance,
        feeds: Feeds,
        *,
        approval_expires: float,
    ) -> None:
        self._graph = graph
        self._storage = storage
        self._tools = tools
        self._executor = executor
        self._driver = driver
        self._live = live
        self._reader = reader
        self._acceptance = acceptance
        self._feeds = feeds
        self._approval_expires = approval_expires
        self._retrying: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def retry(
        self, run_id: str, request: RetryRequest, *, by: str, owner: str | None
    ) -> Record:
        """Let a failed or cancelled run go on; its record, which is pending again.

        A run that asks for approval waits again, unless somebody has approved the plan that it
        goes on with: an edited input makes it another, steps that are left out do not.

        The order to do so is on disk when this returns. Raises `RunNotFound`, `NotRetryable`,
        `NotPlanned`, `RetryRejected`, `QueueFull`, `NotAccepting` and `StorageUnavailable`; after
        the last one it goes on as soon as the storage answers, if the order was stored.
        """
        await self._reader.admit(run_id, owner)
        # Shielded from a caller who goes away: what is stored is executed.
        return await asyncio.shield(self._retry(run_id, request, by=by))

    async def _retry(self, run_id: str, request: RetryRequest, *, by: str) -> Record:
        # One after the other, so that the second is judged by what the first has made of the run.
        async with self._retrying.setdefault(run_id, asyncio.Lock()):
            state = await self._reader.state(run_id)
            if not may_become(state["status"], "pending"):
                raise NotRetryable(run_id, state["status"])
            self._acceptance.check()
            order = order_of(state, request, self._tools, by=by, expires=self._approval_expires)
            # As it was reopened: by now it may be executing, or over.
            return await self._reader.record(await self._reopen(run_id, state["owner"], order))

    async def _reopen(self, run_id: str, owner: str, order: RetryOrder) -> RunState:
        # What has settled it may be about to tell the index so; two may not write its checkpoints.
        if not await self._executor.ended(run_id, timeout=END_TIMEOUT):
            raise StorageUnavailable
        with self._executor.place(), self._reader.available():
            if not await self._storage.index.request_retry(run_id, order):
                raise NotRetryable(run_id, (await self._reader.state(run_id))["status"])
            logger.info("run retried", extra={"run_id": run_id})
            self._live.retried.add(run_id)
            try:
                found = await self._storage.index.find(run_id)
                assert found is not None
                resumed = await resume(self._graph, found, thread(run_id))
                self._feeds.publish(resumed.state)
                return resumed.state
            finally:
                self._executor.enqueue(run_id, owner)

    async def retry_now(self, run_id: str, *, owner: str | None) -> Record:
        """End the wait for a run's next attempt; its record.

        Raises `RunNotFound`, `NoBackoff` where it waits for nothing, and `StorageUnavailable`.
        """
        state = await self._reader.admitted(run_id, owner)
        if not self._driver.hurry(run_id):
            raise NoBackoff(run_id, state["status"])
        return await self._reader.record(await self._reader.state(run_id))

    async def fork(
        self, run_id: str, checkpoint_id: str, edits: Edits, *, owner: str | None
    ) -> Record:
        """Accept a new run that goes on from a checkpoint of this one; it is on disk then.

        It has the owner of this one, and asks for approval as that does: an approval by then
        holds for the same plan, not for an edited one.

        Raises `RunNotFound`, `CheckpointNotFound`, `ForkRejected`, `QueueFull`, `NotAccepting` and
        `StorageUnavailable`.
        """
        self._acceptance.check()
        await self._reader.admit(run_id, owner)
        with self._reader.available():
            checkpoint = await checkpoint_of(self._reader.graph, thread(run_id), checkpoint_id)
        state = checkpoint["state"]
        if state is None:
            raise CheckpointNotFound(run_id, checkpoint_id)
        seed = seed_of(
            state,
            edits,
            self._tools,
            checkpoint_id=checkpoint_id,
            run_id=str(uuid4()),
            created_at=time.time(),
            expires=self._approval_expires,
        )
        row = RunRow(
            run_id=seed["run_id"],
            owner=seed["owner"],
            prompt=seed["prompt"],
            limits=seed["limits"],
            created_at=seed["created_at"],
            budget=seed["budget"],
            approve=seed.get("approve", "never"),
            forked_from=run_id,
            seed=seed,
        )
        return await self._acceptance.accept(row)
