"""Accepting runs: on disk first, then in the queue."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from graph.record.record import Record, record_of
from graph.runs.context import RunContext
from graph.runs.quotas import NO_QUOTAS, NoRoom, PostRate, Quotas, RunUsedUp, refusal
from graph.runs.threads import ThreadNotFound, checked_name
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

        Raises `ChoiceRejected`, `ThreadNotFound`, `TooManyPosts`, `QueueFull`, `NoRoom`,
        `RunUsedUp`, `StorageUnavailable`, and with a key `AlreadyAccepted` or `KeyReused`.
        The caller may go away meanwhile: what is stored is executed.
        """
        return await asyncio.shield(self._accept(row, key))

    async def _accept(self, row: RunRow, key: IdempotencyKey | None) -> Record:
        context, index = self._context, self._context.storage.index
        if row.thread_name is not None:
            row = replace(row, thread_name=checked_name(row.thread_name))
        with context.storage.available():
            await self._check_thread(row)
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
                await self._check_thread(row)
                raise refusal(row, await index.kept(row.owner), quota)
            if row.thread_name is not None:
                row = replace(row, thread_id=await self._thread_of(row), thread_name=None)
        logger.info("run accepted", extra={"run_id": row.run_id})
        logger.debug("run prompt", extra={"run_id": row.run_id, "prompt": row.prompt})
        if context.storage.fleet is not None:
            return await self._accepted_for_all(row)
        live = context.live.of(row.run_id)
        live.reason = "new"
        state, waits_for_run = state_of(row), None
        context.broadcaster.publish(state)
        if row.thread_id is None:
            context.turns.enqueue_head(live, row)
            if not context.executor.is_far(live):
                live.row = row  # else the storage keeps it until its turn comes
        else:
            await context.turns.enqueue(live, row.owner, row.thread_id)
            with suppress(*context.storage.errors):  # it is accepted all the same
                waits_for_run = await context.reader.waits_for_run(state)
        position = context.executor.position(live)
        return record_of(state, queue_position=position, waits_for_run=waits_for_run)

    async def _accepted_for_all(self, row: RunRow) -> Record:
        """The record of a run that whichever process has room executes: its job was stored too."""
        context, state = self._context, state_of(row)
        context.broadcaster.publish(state)
        position = waits_for_run = None
        with suppress(*context.storage.errors):  # it is accepted all the same
            position = await context.reader.position(row.run_id)
            if row.thread_id is not None:
                waits_for_run = await context.reader.waits_for_run(state)
        return record_of(state, queue_position=position, waits_for_run=waits_for_run)

    async def _check_thread(self, row: RunRow) -> None:
        """Raises `ThreadNotFound` where a run is to go on with a thread that is not its owner's."""
        threads, thread_id = self._context.storage.threads, row.thread_id
        if thread_id is not None and not await threads.owned(thread_id, row.owner):
            raise ThreadNotFound(thread_id)

    async def _thread_of(self, row: RunRow) -> str | None:
        """The thread that a run has found by its name; None where it has begun it."""
        found = await self._context.storage.threads.of_run(row.run_id)
        return None if found == row.run_id else found


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
