"""Accepting runs: what one may be given beside its prompt; then on disk first, and in the queue."""

import asyncio
import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from graph.queue.executor import QueueFull
from graph.queue.fair import NO_QUOTAS, NoRoom, PostRate, Quotas, RunUsedUp, refusal
from graph.record.generations import checked_traceparent, trace_id_of
from graph.record.record import Record, record_of
from graph.runs.context import RunContext
from graph.runs.threads import ThreadBusy, ThreadNotFound, normal_name
from graph.settings.configured import is_address, origin_of
from graph.state import Approve, Choice, Limits, RunState
from graph.state.row import Accepted, IdempotencyKey, KeyedRun, Quota, RunRow, state_of
from graph.storage.fleet import PostRefused
from graph.storage.records import LONGEST_THREAD_NAME, THREAD_NAME
from nodes.approval.asking import EXPIRES
from nodes.contract.checks import schema_fault
from nodes.contract.steps import UNSTORABLE
from tools.toolbox import Tool, absence, to_come

#: Longest instructions of one run, in characters.
LONGEST_INSTRUCTIONS = 4_000

#: Longest address of a webhook, in characters.
LONGEST_WEBHOOK = 2_000

#: Most pairs of metadata, the longest value in characters, and what keys look like.
MOST_PAIRS, LONGEST_VALUE = 16, 200
METADATA_KEY = r"^[A-Za-z0-9_.-]{1,64}$"

_KEY = re.compile(METADATA_KEY)


class ChoiceRejected(Exception):
    """Something that no run of this server can be given; `reasons` say what would be right."""

    def __init__(self, field: str, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


def checked_name(name: str) -> str:
    """The name as it is kept: in one form (NFC), so that two that look alike are one.

    Raises `ChoiceRejected` for what no thread can be called.
    """
    kept = normal_name(name)
    is_in_form = len(kept) <= LONGEST_THREAD_NAME and re.fullmatch(THREAD_NAME, kept)
    if not is_in_form or not kept.isprintable():  # format characters are not printable either
        reason = f"a name has 1 to {LONGEST_THREAD_NAME} printable characters in one line"
        raise ChoiceRejected("thread_name", [f"{reason}, and no blank at its ends"])
    return kept


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the caller gives; what is left out (None, empty) is as for all runs of the server.

    `model` is asked alone, `instructions` are told to it, `tools` are those that plans may use.
    `answer` says whether a model answers in words at the end, and `result_schema`, a JSON Schema,
    in which shape it does so as well.
    `webhook` is where its end is posted, beside the places that are told of all runs. `metadata` is
    for the caller, to find the run by.
    """

    model: str | None = None
    instructions: str | None = None
    tools: Sequence[str] | None = None
    answer: bool | None = None
    result_schema: Mapping[str, Any] | None = None
    webhook: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def choice(self, models: Collection[str], tools: Mapping[str, Tool]) -> Choice | None:
        """What it is to be planned with, None for nothing; `models` and `tools` are those there.

        Tools of a server that is being connected may be named: the run waits for them.
        Raises `ChoiceRejected`.
        """
        if self.model is not None:
            _check_known("model", [self.model], models)
        self._check_answer(models)
        if self.instructions is not None:
            _check_text("instructions", self.instructions, LONGEST_INSTRUCTIONS)
        if self.tools is not None:
            if isinstance(self.tools, str) or not self.tools:
                raise ChoiceRejected("tools", [f"name at least one; {_there_are('tool', tools)}"])
            _check_tools(self.tools, tools)
        allowed = None if self.tools is None else list(dict.fromkeys(self.tools))
        choice = Choice(model=self.model, instructions=self.instructions or None, tools=allowed)
        if self.answer is not None:
            choice["answer"] = self.answer
        if self.result_schema is not None:
            choice["result_schema"] = dict(self.result_schema)
        return choice if any(value is not None for value in choice.values()) else None

    def _check_answer(self, models: Collection[str]) -> None:
        """Raises `ChoiceRejected` for an answer that nobody could give."""
        if self.answer is not None and not isinstance(self.answer, bool):
            raise ChoiceRejected("answer", ["it should be true or false"])
        if self.answer and not models:
            raise ChoiceRejected("answer", [f"{_NOBODY} that could answer in words"])
        if self.result_schema is None:
            return
        if not models:
            raise ChoiceRejected("result_schema", [f"{_NOBODY} that could answer in a shape"])
        if self.answer is False:
            reason = "there is no answer to have this shape: leave `answer` out, or say true"
            raise ChoiceRejected("result_schema", [reason])
        if fault := schema_fault(self.result_schema):
            raise ChoiceRejected("result_schema", [fault])

    def checked_webhook(self, known: Collection[str]) -> str | None:
        """Where its end is posted: only at hosts that are `known` for that.

        Raises `ChoiceRejected`.
        """
        if self.webhook is None:
            return None
        _check_text("webhook", self.webhook, LONGEST_WEBHOOK)
        origins = {origin_of(url) for url in known}
        if not is_address(self.webhook) or origin_of(self.webhook) not in origins:
            hosts = ", ".join(sorted({f"{kind}://{host}:{port}" for kind, host, port in origins}))
            there = f"it should be at {hosts}" if hosts else "none is configured"
            raise ChoiceRejected("webhook", [f"{there} (RUNWRIGHT_WEBHOOKS)"])
        return self.webhook

    def checked_metadata(self) -> dict[str, str] | None:
        """The pairs, in the order of their keys; None without any. Raises `ChoiceRejected`."""
        if len(self.metadata) > MOST_PAIRS:
            raise ChoiceRejected(
                "metadata", [f"there are {len(self.metadata)} pairs; at most {MOST_PAIRS} are kept"]
            )
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                raise ChoiceRejected(
                    "metadata",
                    [f"the key {key!r} should be 1 to 64 letters, digits, dots, - and _"[:200]],
                )
            _check_text("metadata", value, LONGEST_VALUE, of=f"the value of {key}")
        return dict(sorted(self.metadata.items())) or None


#: Why an answer that is asked for is refused.
_NOBODY = "no model is configured (RUNWRIGHT_MODELS)"

#: Nothing: as for all runs.
NO_OPTIONS = RunOptions()


def _check_tools(given: Sequence[Any], tools: Mapping[str, Tool]) -> None:
    away = {name: why for name in given if isinstance(name, str) and (why := absence(tools, name))}
    if away and not to_come(tools):
        raise ChoiceRejected(
            "tools", [f"there is no tool {name[:100]!r} now; {why}" for name, why in away.items()]
        )
    _check_known("tool", [name for name in given if name not in away], tools)


def _check_known(kind: str, given: Iterable[Any], known: Collection[str]) -> None:
    unknown = [repr(name)[:100] for name in given if name not in known]
    if unknown:
        plural = "tools" if kind == "tool" else kind
        reason = f"there is no {kind} {', '.join(unknown)}; {_there_are(kind, known)}"
        raise ChoiceRejected(plural, [reason])


def _there_are(kind: str, known: Collection[str]) -> str:
    return f"there are {', '.join(known)}" if known else f"no {kind} is configured"


def _check_text(field: str, given: Any, longest: int, *, of: str = "") -> None:
    """Raises `ChoiceRejected` for what is no text, too long, or cannot be stored."""
    what = of or "they"
    if not isinstance(given, str):
        raise ChoiceRejected(field, [f"{what} should be text, not {type(given).__name__}"])
    if len(given) > longest:
        has = "has" if of else "have"
        reason = f"{what} {has} {len(given)} characters; at most {longest} are allowed"
        raise ChoiceRejected(field, [reason])
    if UNSTORABLE.search(given):
        have = "holds" if of else "hold"
        reason = f"{what} {have} a character that no text can have (NUL or half a surrogate pair)"
        raise ChoiceRejected(field, [reason])


def lowered(limits: Limits, *, max_rounds: int | None, mend: int | None) -> Limits:
    """The limits with those that a run asks for, where they are lower."""
    lowered: Limits = {**limits}
    if max_rounds is not None:
        lowered["max_rounds"] = min(max_rounds, limits.get("max_rounds", 1))
    if mend is not None:
        lowered["mend"] = min(mend, limits.get("mend", 0))
    return lowered


@dataclass(frozen=True)
class RunPolicy:
    """The limits of every run, whether its plan is asked about, and for how many seconds.

    `quotas`: what each owner may take. `webhooks`: the places that are told of all runs.
    """

    limits: Limits
    approve: Approve = "never"
    approval_expires: float = EXPIRES
    quotas: Quotas = NO_QUOTAS
    webhooks: tuple[str, ...] = ()


logger = logging.getLogger("runwright.runs")

#: Where in a trace of theirs the caller is who is being served, as they say it.
CALLER_TRACE: ContextVar[str | None] = ContextVar("caller_trace", default=None)


class Acceptance:
    """The way in for new runs."""

    def __init__(self, context: RunContext, quotas: Quotas = NO_QUOTAS) -> None:
        self._context = context
        self.quotas = quotas
        fleet = context.storage.fleet
        self._rate = PostRate(quotas.posts, fleet.posts if fleet else None)

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
        if traceparent := checked_traceparent(CALLER_TRACE.get()):
            seed: RunState | None = row.seed and {**row.seed, "traceparent": traceparent}
            row = replace(row, traceparent=traceparent, seed=seed)
        with context.storage.available():
            await self._check_thread(row)
        if not self._rate.counted_with_run:
            await self.count_post(row.owner)
        try:
            with context.executor.place(row.run_id):
                with context.storage.available():
                    position = await self._store(row, key)
                if row.thread_name is not None:
                    thread_id = await context.thread_queues.joined(row)
                    row = replace(row, thread_id=thread_id, thread_name=None)
        except QueueFull:
            if self._rate.counted_with_run:
                await self.count_post(row.owner)
            raise
        state = state_of(row)
        about = {"run_id": row.run_id, "trace_id": trace_id_of(state)}
        logger.info("run accepted", extra=about)
        logger.debug("run prompt", extra={**about, "prompt": row.prompt})
        if context.storage.fleet is not None:
            return await self._accepted_for_all(state, position)
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

    async def _accepted_for_all(self, state: RunState, position: int | None) -> Record:
        """The record of a run that whichever process has room executes: its job was stored too."""
        reader, run_id = self._context.reader, state["run_id"]
        self._context.broadcaster.publish(state)
        waits_for_run = None
        with suppress(*self._context.storage.errors):  # it is accepted all the same
            if state.get("thread_id", run_id) != run_id:
                waits_for_run = await reader.waits_for_run(state)
        return record_of(state, queue_position=position, waits_for_run=waits_for_run)

    async def _store(self, row: RunRow, key: IdempotencyKey | None) -> int | None:
        """Store a run, durably, or raise why it is not; the storage's own errors among these.

        Its place in the queue, where the storage has it.
        """
        quota, rate = self.quotas.stored, self._rate
        counting = replace(quota, posts=rate.counted_with_run)
        if counting.posts:
            rate.expect(row.owner)
        try:
            accepted = await self._stored(row, key, counting)
        except PostRefused as refused:
            rate.refuse(row.owner, refused.posted)
        if counting.posts:
            rate.note(row.owner)
        while accepted is None:
            await self._check_thread(row)
            kept = await self._context.storage.index.kept(row.owner)
            head = await self._context.storage.threads.head(row.thread) if row.alone else None
            if head is not None:
                raise ThreadBusy(head.run_id, head.status)
            if not row.alone or row.forked_from is not None or quota.is_reached(kept):
                raise refusal(row, kept, quota)
            # What the thread was at has ended just now.
            accepted = await self._stored(row, key, quota)
        return accepted.position

    async def _stored(
        self, row: RunRow, key: IdempotencyKey | None, quota: Quota
    ) -> Accepted | KeyedRun | None:
        index = self._context.storage.index
        if key is None:
            return await index.accept(row, quota)
        first = await index.accept_once(row, key, quota)
        if first and first.run_id != row.run_id:  # another request with the key came between
            refuse_second(first, key)
        return first

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
