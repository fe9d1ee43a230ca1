"""Repairing runs: going on with one that has ended, or from a checkpoint of it as a new one."""

import asyncio
import logging
import time
from uuid import uuid4
from weakref import WeakValueDictionary

from graph.acceptance import Acceptance
from graph.driver import Driver
from graph.engine import Engine
from graph.forking import Edits, seed_of
from graph.history import CheckpointNotFound, checkpoint_of
from graph.reader import StorageUnavailable, thread
from graph.record.record import Record
from graph.retrying import NotRetryable, RetryRequest, order_of
from graph.state import RunState
from graph.state.row import RetryOrder, RunRow
from graph.state.status import WrongStatus, may_become
from graph.take_up import resume

logger = logging.getLogger("runwright.runs")

#: How long the end of what executes a run is waited for, in seconds.
END_TIMEOUT = 1.0


class NoBackoff(WrongStatus):
    """The run does not wait for another attempt."""

    rule = "only one that waits for its next attempt can be told not to wait"


class Repair:
    """Orders to go on: each is on disk before anything is done about it."""

    def __init__(
        self, engine: Engine, driver: Driver, acceptance: Acceptance, *, approval_expires: float
    ) -> None:
        self._engine = engine
        self._reader = engine.reader
        self._driver = driver
        self._acceptance = acceptance
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
            order = order_of(
                state, request, self._engine.tools, by=by, expires=self._approval_expires
            )
            # As it was reopened: by now it may be executing, or over.
            return await self._reader.record(await self._reopen(run_id, state["owner"], order))

    async def _reopen(self, run_id: str, owner: str, order: RetryOrder) -> RunState:
        engine, index = self._engine, self._engine.storage.index
        # What has settled it may be about to tell the index so; two may not write its checkpoints.
        if not await engine.executor.ended(run_id, timeout=END_TIMEOUT):
            raise StorageUnavailable
        with engine.executor.place(), engine.reader.available():
            if not await index.request_retry(run_id, order):
                raise NotRetryable(run_id, (await engine.reader.state(run_id))["status"])
            logger.info("run retried", extra={"run_id": run_id})
            engine.live.retried.add(run_id)
            try:
                found = await index.find(run_id)
                assert found is not None
                resumed = await resume(engine.graph, found, thread(run_id))
                engine.feeds.publish(resumed.state)
                return resumed.state
            finally:
                engine.executor.enqueue(run_id, owner)

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
            self._engine.tools,
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
