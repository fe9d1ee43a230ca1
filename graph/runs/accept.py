"""Accepting runs: on disk first, then in the queue."""

import asyncio
import logging

from graph.record.record import Record, record_of
from graph.runs.context import RunContext
from graph.runs.quotas import NO_QUOTAS, NoRoom, PostRate, Quotas, RunUsedUp, refusal
from graph.state import RunState
from graph.state.row import IdempotencyKey, KeyedRun, Quota, RunRow, state_of

logger = logging.getLogger("runwright.runs")


class NotAccepting(Exception):
    """The process is ending and takes no further runs."""

    def __init__(self) -> None:
        super().__init__("the process is ending and takes no further runs")


class Acceptance:
    """The way in for new runs, open while `ready`."""

    def __init__(self, context: RunContext, quotas: Quotas = NO_QUOTAS) -> None:
        self._context = context
        self.quotas = quotas
        self.rate = PostRate(quotas.posts)
        self.ready = False

    def check(self) -> None:
        """Raises `NotAccepting` unless it is open, and `StorageUnavailable` over a damaged storage.

        A damaged one may take what it cannot give back.
        """
        if not self.ready:
            raise NotAccepting
        self._context.storage.faults.refuse_damaged()

    async def admit_retry(self, state: RunState) -> None:
        """Count one more retry of a run among the posts of its owner.

        Raises `RunUsedUp`, `TooManyPosts`, `StorageUnavailable`, and `NoRoom` where its owner keeps
        as many bytes as are allowed: it is no further run, but adds to its record.
        """
        quotas, owner = self.quotas, state["owner"]
        if 0 < quotas.retries <= state["generation"]:
            raise RunUsedUp(state["run_id"], "retries", quotas.retries)
        self.rate.take(owner)
        quota = Quota(bytes=quotas.keeping.bytes)
        with self._context.storage.available():
            kept = await self._context.storage.index.kept(owner)
        if quota.is_reached(kept):
            raise NoRoom("bytes", kept.bytes, quota.bytes)

    async def accept(self, row: RunRow, key: IdempotencyKey | None = None) -> Record:
        """Store a new run and queue it; its record.

        Raises `TooManyPosts`, `QueueFull`, `NoRoom`, `RunUsedUp`, `StorageUnavailable`, and with a
        key `AlreadyAccepted` or `KeyReused`.
        The caller may go away meanwhile: what is stored is executed.
        """
        return await asyncio.shield(self._accept(row, key))

    async def _accept(self, row: RunRow, key: IdempotencyKey | None) -> Record:
        context, index = self._context, self._context.storage.index
        self.rate.take(row.owner)
        quota = self.quotas.keeping
        with context.executor.place(), context.storage.available():
            if key is None:
                stored = await index.accept(row, quota)
            else:
                first = await index.accept_once(row, key, quota)
                stored = first is not None
                if (
                    first and first.run_id != row.run_id
                ):  # another request with the key came between
                    refuse_second(first, key)
            if not stored:
                raise refusal(row, await index.kept(row.owner), quota)
        logger.info("run accepted", extra={"run_id": row.run_id})
        logger.debug("run prompt", extra={"run_id": row.run_id, "prompt": row.prompt})
        live = context.live.of(row.run_id)
        live.reason = "new"
        context.executor.enqueue(live, row.owner)
        if not context.executor.is_far(live):
            live.row = row  # else the storage keeps it until its turn comes
        context.broadcaster.publish(state_of(row))
        return record_of(state_of(row), queue_position=context.executor.position(live))


class AlreadyAccepted(Exception):
    """The same request was accepted before, as the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"accepted before, as run {run_id}")
        self.run_id = run_id


class KeyReused(Exception):
    """The key stands for another request, which made the run `run_id`."""

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(f"the key {name} stands for another request, that of run {run_id}")
        self.name = name
        self.run_id = run_id


def refuse_second(first: KeyedRun, key: IdempotencyKey) -> None:
    """Raises `AlreadyAccepted` for the request that `first` was made of, else `KeyReused`."""
    if first.fingerprint != key.fingerprint:
        raise KeyReused(key.name, first.run_id)
    raise AlreadyAccepted(first.run_id)
