"""Accepting runs: on disk first, then in the queue."""

import asyncio
import logging
import time
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace

from graph.queue.quotas import NO_QUOTAS, NoRoom, PostRate, Quotas, RunUsedUp, refusal
from graph.record.record import Record, record_of
from graph.record.trace import checked, trace_id_of
from graph.runs.context import RunContext
from graph.runs.threads import ThreadBusy, ThreadNotFound, checked_name
from graph.state import RunState
from graph.state.row import IdempotencyKey, KeyedRun, Quota, RunRow, state_of

logger = logging.getLogger("runwright.runs")

#: Where in a trace of theirs the caller is who is being served, as they say it.
CALLER_TRACE: ContextVar[str | None] = ContextVar("caller_trace", default=None)


class NotAccepting(Exception):
    """The process is ending and takes no further runs."""

    def __init__(self) -> None:
        super().__init__("the process is ending and takes no further runs")


class Acceptance:
    """The way in for new runs, open while `ready`."""

    def __init__(self, context: RunContext, quotas: Quotas = NO_QUOTAS) -> None:
        self._context = context
        self.quotas = quotas
        fleet = context.storage.fleet
        self._rate = PostRate(quotas.posts, fleet.posts if fleet else None)
        self.ready = False

    def check(self) -> None:
        """Raises `NotAccepting` unless it is open, and `StorageUnavailable` over a damaged storage.

        A damaged one may take what it cannot give back.
        """
        if not self.ready:
            raise NotAccepting
        self._context.storage.faults.refuse_damaged()

    async def count_post(self, owner: str) -> None:
        """Count one post of an owner. Raises `TooManyPosts` and `StorageUnavailable`."""
        with self._context.storage.available():
            await self._rate.take(owner)

    async def posted(self, owner: str) -> int:
        """How many of the minute's posts an owner has taken. Raises `StorageUnavailable`."""
        with self._context.storage.available():
            return await self._rate.posted(owner)

    async def admit_retry(self, state: RunState) -> None:
        """Count one more retry of a run among the posts of its owner.

        Raises `RunUsedUp`, `TooManyPosts`, `StorageUnavailable`, and `NoRoom` where its owner keeps
        as many bytes as are allowed: it is no further run, but adds to its record.
        """
        quotas, owner = self.quotas, state["owner"]
        if 0 < quotas.retries <= state["generation"]:
            raise RunUsedUp(state["run_id"], "retries", quotas.retries)
        await self.count_post(owner)
        quota = Quota(bytes=quotas.stored.bytes)
        with self._context.storage.available():
            kept = await self._context.storage.index.kept(owner)
        if quota.is_reached(kept):
            raise NoRoom("bytes", kept.bytes, quota.bytes)

    async def check_key(self, owner: str, key: IdempotencyKey) -> None:
        """Raises `AlreadyAccepted`, `KeyReused` and `StorageUnavailable`."""
        storage = self._context.storage
        with storage.available():
            first = await storage.index.find_key(owner, key.name, at=time.time())
        if first is not None:
            refuse_second(first, key)

    async def accept(self, row: RunRow, key: IdempotencyKey | None = None) -> Record:
        """Store a new run and queue it; its record.

        Raises `ChoiceRejected`, `ThreadNotFound`, `ThreadBusy`, `TooManyPosts`, `QueueFull`,
        `NoRoom`, `RunUsedUp`, `StorageUnavailable`, and with a key `AlreadyAccepted`, `KeyReused`.
        The caller may go away meanwhile: what is stored is executed.
        """
        return await asyncio.shield(self._accept(row, key))

    async def _accept(self, row: RunRow, key: IdempotencyKey | None) -> Record:
        context = self._context
        if row.thread_name is not None:
            row = replace(row, thread_name=checked_name(row.thread_name))
        if traceparent := checked(CALLER_TRACE.get()):
            seed: RunState | None = row.seed and {**row.seed, "traceparent": traceparent}
            row = replace(row, traceparent=traceparent, seed=seed)
        with context.storage.available():
            await self._check_thread(row)
        await self.count_post(row.owner)
        with context.executor.place():
            with context.storage.available():
                await self._store(row, key)
            if row.thread_name is not None:
                row = replace(
                    row, thread_id=await context.thread_queues.joined(row), thread_name=None
                )
        state = state_of(row)
        about = {"run_id": row.run_id, "trace_id": trace_id_of(state)}
        logger.info("run accepted", extra=about)
        logger.debug("run prompt", extra={**about, "prompt": row.prompt})
        if context.storage.fleet is not None:
            return await self._accepted_for_all(state)
        waits_for_run = None
        live = context.live.of(row.run_id)
        live.reason = "new"
        context.broadcaster.publish(state)
        if row.thread_id is None:
            context.thread_queues.enqueue_head(live, row)
            if not context.executor.is_far(live):
                live.row = row  # else the storage keeps it until it is begun
        else:
            await context.thread_queues.enqueue(live, row.owner, row.thread_id)
            with suppress(*context.storage.errors):  # it is accepted all the same
                waits_for_run = await context.reader.waits_for_run(state)
        position = context.executor.position(live)
        return record_of(state, queue_position=position, waits_for_run=waits_for_run)

    async def _accepted_for_all(self, state: RunState) -> Record:
        """The record of a run that whichever process has room executes: its job was stored too."""
        reader, run_id = self._context.reader, state["run_id"]
        self._context.broadcaster.publish(state)
        position = waits_for_run = None
        with suppress(*self._context.storage.errors):  # it is accepted all the same
            position = await reader.position(run_id)
            if state.get("thread_id", run_id) != run_id:
                waits_for_run = await reader.waits_for_run(state)
        return record_of(state, queue_position=position, waits_for_run=waits_for_run)

    async def _store(self, row: RunRow, key: IdempotencyKey | None) -> None:
        """Store a run, durably, or raise why it is not; the storage's own errors among these."""
        quota = self.quotas.stored
        while not await self._stored(row, key, quota):
            await self._check_thread(row)
            kept = await self._context.storage.index.kept(row.owner)
            head = await self._context.storage.threads.head(row.thread) if row.alone else None
            if head is not None:
                raise ThreadBusy(head.run_id, head.status)
            if not row.alone or row.forked_from is not None or quota.is_reached(kept):
                raise refusal(row, kept, quota)
            # What the thread was at has ended just now.

    async def _stored(self, row: RunRow, key: IdempotencyKey | None, quota: Quota) -> bool:
        index = self._context.storage.index
        if key is None:
            return await index.accept(row, quota)
        first = await index.accept_once(row, key, quota)
        if first and first.run_id != row.run_id:  # another request with the key came between
            refuse_second(first, key)
        return first is not None

    async def _check_thread(self, row: RunRow) -> None:
        """Raises `ThreadNotFound` where a run is to go on with a thread that is not its owner's."""
        threads, thread_id = self._context.storage.threads, row.thread_id
        if thread_id is not None and not await threads.owned(thread_id, row.owner):
            raise ThreadNotFound(thread_id)


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
