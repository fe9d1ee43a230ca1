"""The life of a run: accepted, executed, read, taken up again, settled."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import cast
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig

from graph.approvals import SWEEP, Approvals
from graph.build import RunGraph
from graph.cancelling import Canceller
from graph.cursor import decode
from graph.daily_budget import Account, DailyBudget, DailyLimit, renewal
from graph.decision import Decision
from graph.drafts import Draft, Drafts
from graph.driver import Driver
from graph.executor import Executor
from graph.explain import explain
from graph.explanation import Explanation
from graph.facts import facts_of
from graph.feeds import Changes, Feed, Feeds
from graph.forking import Edits, seed_of
from graph.history import Checkpoint, CheckpointNotFound, HistoryPage, checkpoint_of, page_of
from graph.index import RunRow
from graph.record import Page, Record, found_page, record_of, state_of
from graph.removal import NotSettled, Remains, remains
from graph.request_key import RequestKey, refuse_second
from graph.retrying import NotRetryable, RetryOrder, RetryRequest, is_due, order_of
from graph.search import Search
from graph.state import Approve, Budget, Limits, RunState, Status
from graph.status import SETTLED, may_become
from graph.storage import Storage
from graph.take_up import resume
from nodes.approving.asking import EXPIRES
from nodes.plan import prompt_error
from nodes.planning.roster import Roster
from tools.registry import Tool
from tools.threads import ToolThreads

logger = logging.getLogger("runwright.runs")

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


class RunNotFound(Exception):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class AlreadySettled(Exception):
    """What was asked for does not go with how the run has ended."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status}")
        self.run_id = run_id
        self.status = status


class NoBackoff(Exception):
    """The run does not wait for another attempt."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status} and waits for no attempt")
        self.run_id = run_id
        self.status = status


class PromptRejected(Exception):
    """A prompt that cannot become a run; the message says what would be right."""


class NotAccepting(Exception):
    """The process is ending and takes no further runs."""


class StorageUnavailable(Exception):
    """The storage cannot be read or written just now; the same call may succeed later."""


class Runs:
    """Everything that can be done with runs, over one graph and one storage.

    `owner` says whose runs there are for a call: another's are not found. None is whoever has the
    storage itself, and finds all.
    """

    def __init__(
        self,
        graph: RunGraph,
        storage: Storage,
        tools: Mapping[str, Tool],
        limits: Limits,
        executor: Executor,
        roster: Roster | None = None,
        threads: ToolThreads | None = None,
        *,
        approve: Approve = "never",
        approval_expires: float = EXPIRES,
        daily_budget: DailyBudget | None = None,
    ) -> None:
        self.graph = graph
        self._reading = graph.copy({"checkpointer": storage.reader})
        self._storage = storage
        self.tools = tools
        self._limits = limits
        self._executor = executor
        self._roster = roster
        self.feeds = Feeds(self._state)
        self._driver = Driver(
            graph,
            storage,
            executor,
            canceller=Canceller(graph, tools, threads),
            publish=self.feeds.publish,
            models=len(roster.models) if roster else 0,
        )
        self._approve = approve
        self._approvals = Approvals(storage, self._driver, tools)
        self._sweep_every = min(SWEEP, approval_expires / 10)
        self._sweeping: asyncio.Task[None] | None = None
        self._drafts = Drafts(graph, tools, limits, len(roster.models) if roster else 0)
        self._daily_budget = daily_budget
        self.ready = False

    async def open(self, *, take_up: bool) -> None:
        """Begin to execute; with `take_up` also every run that an earlier process left."""
        left = await self._storage.index.unsettled() if take_up else []
        for row in left:
            if row.cancel_at is not None:
                await self._driver.cancel_left(row.run_id)
        waiting = [
            row
            for row in left
            if row.cancel_at is None and (row.status != "waiting" or row.decision)
        ]
        self._driver.expect(waiting)
        # First those that were started before and got no further.
        for row in sorted(waiting, key=lambda row: row.checkpoint_id is None):
            self._executor.enqueue(row.run_id, row.owner)
        self._executor.start(self._driver.execute)
        if take_up:
            self._sweeping = asyncio.create_task(self._approvals.sweep(self._sweep_every))
        self.ready = True

    async def close(self, grace: float) -> None:
        """Accept nothing more, let attempts in flight end for `grace` seconds, leave the rest.

        What is left goes on from its last checkpoint at the next start. Who watches is let go.
        """
        self.ready = False
        await self.stop_sweeping()
        self._driver.drain()
        await self._executor.stop(grace)
        await self._driver.close()
        self.feeds.close()

    async def stop_sweeping(self) -> None:
        """Let no plan expire any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])

    async def start(
        self,
        prompt: str,
        *,
        owner: str = "default",
        budget: Budget | None = None,
        approve: Approve | None = None,
        key: RequestKey | None = None,
    ) -> Record:
        """Accept a task; it is on disk when this returns, and executed soon after.

        `approve` says whether it rests after planning until somebody approves; without it, as all.
        Raises `PromptRejected`, `QueueFull`, `StorageUnavailable`, and `NotAccepting` while the
        process is ending. With a key that the owner has used before it raises `AlreadyAccepted` or
        `KeyReused`.
        """
        if not self.ready:
            raise NotAccepting
        if key is not None:
            with self._available():
                first = await self._storage.index.find_key(owner, key.name, at=time.time())
            if first is not None:  # whatever else stands in the way of a new run
                refuse_second(first, key)
        if reason := prompt_error(prompt, self._limits["max_prompt"]):
            raise PromptRejected(reason)
        row = RunRow(
            run_id=str(uuid4()),
            owner=owner,
            prompt=prompt,
            limits=self._limits,
            created_at=time.time(),
            budget=budget,
            approve=approve or self._approve,
        )
        # Shielded from a caller who goes away: what is stored is executed.
        return await asyncio.shield(self._accept(row, key))

    async def _accept(self, row: RunRow, key: RequestKey | None = None) -> Record:
        with self._executor.place(), self._available():
            if key is None:
                await self._storage.index.accept(row)
            else:
                first = await self._storage.index.accept_once(row, key)
                if first.run_id != row.run_id:  # another request with the key came between
                    refuse_second(first, key)
        logger.info("run accepted", extra={"run_id": row.run_id})
        logger.debug("run prompt", extra={"run_id": row.run_id, "prompt": row.prompt})
        self._driver.accepted[row.run_id] = row
        self._executor.enqueue(row.run_id, row.owner)
        self.feeds.publish(state_of(row))
        return self._record(state_of(row))

    async def get(self, run_id: str, *, owner: str | None) -> Record:
        """The record of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        await self._admit(run_id, owner)
        return await self._with_forks(await self._state(run_id))

    async def explain(self, run_id: str, *, owner: str | None) -> Explanation:
        """Where the time of a run went so far, and why.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        queued = self._executor.position(run_id) is not None
        return explain(state, now=time.time(), queued=queued)

    async def wait(self, run_id: str, timeout: float, *, owner: str | None) -> Record:
        """The record of a run once it rests, or as it is after `timeout` seconds.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        async with self.watching(run_id, owner=owner) as feed:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await feed.rest()
            assert feed.state is not None
            return await self._with_forks(feed.state)

    @asynccontextmanager
    async def watching(self, run_id: str, *, owner: str | None) -> AsyncIterator[Feed]:
        """The feed of a run. Raises `RunNotFound` and `StorageUnavailable`."""
        await self._admit(run_id, owner)
        async with self.feeds.watching(run_id) as feed:
            yield feed

    @contextmanager
    def changes(self, *, owner: str | None) -> Iterator[Changes]:
        """What changes from now on in the owner's runs."""
        with self.feeds.changes(owner=owner) as changes:
            yield changes

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        """Cancel a run; its record, which tells what was done and what was not.

        A run that is cancelled already is left as it is. Raises `RunNotFound`, `AlreadySettled`
        and `StorageUnavailable`; after the last one the run is cancelled as soon as the storage
        answers, if the request was stored. Raises `NotAccepting` while the process is ending.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        if may_become(state["status"], "cancelled"):
            if not self.ready:
                raise NotAccepting
            # Shielded from a caller who goes away: once the mark is stored, the act follows.
            await asyncio.shield(self._stop(run_id, by))
            state = await self._state(run_id)
        if state["status"] not in SETTLED:
            raise StorageUnavailable
        if state["status"] != "cancelled":
            raise AlreadySettled(run_id, state["status"])
        return self._record(state)

    async def approve(
        self, run_id: str, *, by: str, owner: str | None, plan: object = None
    ) -> Record:
        """Execute the plan of a waiting run, or another `plan` instead; its record by then.

        Raises `RunNotFound`, `NotWaiting`, `PlanUnfit`, `StorageUnavailable`; after the last one
        it goes on as soon as the storage answers, if the decision was stored. Raises
        `NotAccepting` while the process is ending.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        self._approvals.check_waiting(state)
        edited = None if plan is None else self._approvals.edited(state, plan)
        decision = Decision(what="approved", at=time.time(), by=by, reason=None, plan=edited)
        return await self._decide(state, decision)

    async def reject(
        self, run_id: str, *, by: str, owner: str | None, reason: str | None = None
    ) -> Record:
        """Settle a waiting run as cancelled, with nothing done; its record.

        Raises what `approve` raises, but for `PlanUnfit`.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        decision = Decision(what="rejected", at=time.time(), by=by, reason=reason, plan=None)
        return await self._decide(state, decision)

    async def _decide(self, state: RunState, decision: Decision) -> Record:
        if not self.ready:
            raise NotAccepting
        with self._available():
            # Shielded from a caller who goes away: a decision that is stored is carried out.
            await asyncio.shield(self._approvals.decide(state, decision))
        decided = await self._state(state["run_id"])
        if decided["status"] == "waiting":
            raise StorageUnavailable
        return self._record(decided)

    async def plan(
        self, prompt: str, *, owner: str = "default", budget: Budget | None = None
    ) -> Draft:
        """The plan that a run of this prompt would be given; nothing is stored or executed.

        Raises `PromptRejected`, `StorageUnavailable` where what it cost cannot be stored, and
        `NotAccepting` while the process is ending.
        """
        if not self.ready:
            raise NotAccepting
        if reason := prompt_error(prompt, self._limits["max_prompt"]):
            raise PromptRejected(reason)
        with self._available():
            return await self._drafts.make(prompt, owner=owner, budget=budget)

    async def account(self, owner: str) -> Account:
        """How the owner's budget of the day stands. Raises `StorageUnavailable`."""
        if self._daily_budget is None:
            return Account(DailyLimit(), None, renewal(time.time()))
        with self._available():
            return await self._daily_budget.account(owner)

    async def _stop(self, run_id: str, by: str) -> None:
        with self._available():
            await self._storage.index.request_cancel(run_id, at=time.time(), by=by)
        await self._driver.cancel(run_id)

    async def remove(self, run_id: str, *, owner: str | None) -> None:
        """Remove a settled run with everything that is kept of it, for good.

        Raises `RunNotFound`, `NotSettled` and `StorageUnavailable`.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        if state["status"] in SETTLED:
            # The checkpoint wins, and what its projection lacks must not keep it.
            with self._available():
                row = await self._storage.index.find(run_id)
                if row is not None and is_due(row.retry, state):
                    raise NotSettled(run_id, row.status)
                await self._storage.index.project(
                    run_id,
                    state["status"],
                    started_at=state["started_at"],
                    completed_at=state["completed_at"],
                    facts=facts_of(state),
                )
            if await self.remove_settled([run_id]):
                return
            state = await self._state(run_id)  # gone, or told to go on meanwhile
        raise NotSettled(run_id, state["status"])

    async def remove_settled(self, run_ids: Sequence[str]) -> int:
        """Remove those of these runs that are settled, together; how many that were.

        A run whose state cannot be read stays. Raises `StorageUnavailable`.
        """
        found: list[Remains] = []
        for run_id in run_ids:
            try:
                state = await self._state(run_id)
                if state["status"] in SETTLED:
                    found.append(remains(state))
            except RunNotFound:
                continue
            except StorageUnavailable:
                raise
            except Exception:
                logger.exception("run cannot be read, and stays", extra={"run_id": run_id})
        if not found:
            return 0
        with self._available():
            removed = await asyncio.shield(self._storage.remove(found))
        for one in found:
            self.feeds.forget(one.run_id)
        return removed

    async def retry(
        self, run_id: str, request: RetryRequest, *, by: str, owner: str | None
    ) -> Record:
        """Let a failed or cancelled run go on; its record, which is pending again.

        Whoever does so approves the plan that it has; a new one is asked about as the first.

        The order to do so is on disk when this returns. Raises `RunNotFound`, `NotRetryable`,
        `NotPlanned`, `RetryRejected`, `QueueFull`, `NotAccepting` and `StorageUnavailable`; after
        the last one it goes on as soon as the storage answers, if the order was stored.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        if not may_become(state["status"], "pending"):
            raise NotRetryable(run_id, state["status"])
        if not self.ready:
            raise NotAccepting
        order = order_of(state, request, self.tools, by=by)
        # Shielded from a caller who goes away: what is stored is executed.
        await asyncio.shield(self._reopen(run_id, state["owner"], order))
        return self._record(await self._state(run_id))

    async def _reopen(self, run_id: str, owner: str, order: RetryOrder) -> None:
        # What has settled it may be about to tell the index so; two may not write its checkpoints.
        if not await self._executor.ended(run_id, timeout=CHECK_TIMEOUT):
            state = await self._state(run_id)
            if not may_become(state["status"], "pending"):
                raise NotRetryable(run_id, state["status"])  # somebody else was first
            raise StorageUnavailable
        with self._executor.place(), self._available():
            if not await self._storage.index.request_retry(run_id, order):
                raise NotRetryable(run_id, (await self._state(run_id))["status"])
            logger.info("run retried", extra={"run_id": run_id})
            self._driver.retried.add(run_id)
            try:
                found = await self._storage.index.find(run_id)
                assert found is not None
                resumed = await resume(self.graph, found, _thread(run_id))
                self.feeds.publish(resumed.state)
            finally:
                self._executor.enqueue(run_id, owner)

    async def retry_now(self, run_id: str, *, owner: str | None) -> Record:
        """End the wait for a run's next attempt; its record.

        Raises `RunNotFound`, `NoBackoff` where it waits for nothing, and `StorageUnavailable`.
        """
        await self._admit(run_id, owner)
        state = await self._state(run_id)
        if not self._driver.hurry(run_id):
            raise NoBackoff(run_id, state["status"])
        return self._record(await self._state(run_id))

    async def history(
        self, run_id: str, *, owner: str | None, limit: int, before: str | None = None
    ) -> HistoryPage:
        """The latest checkpoints of a run, or those before one; none while it was not begun.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._admit(run_id, owner)
        with self._available():
            return await page_of(self._reading, _thread(run_id), limit=limit, before=before)

    async def checkpoint(self, run_id: str, checkpoint_id: str, *, owner: str | None) -> Checkpoint:
        """One checkpoint of a run.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._admit(run_id, owner)
        with self._available():
            return await checkpoint_of(self._reading, _thread(run_id), checkpoint_id)

    async def fork(
        self, run_id: str, checkpoint_id: str, edits: Edits, *, owner: str | None
    ) -> Record:
        """Accept a new run that goes on from a checkpoint of this one; it is on disk then.

        It has the owner of this one. Whoever forks a plan, approves it.

        Raises `RunNotFound`, `CheckpointNotFound`, `ForkRejected`, `QueueFull`, `NotAccepting` and
        `StorageUnavailable`.
        """
        if not self.ready:
            raise NotAccepting
        state = (await self.checkpoint(run_id, checkpoint_id, owner=owner))["state"]
        if state is None:
            raise CheckpointNotFound(run_id, checkpoint_id)
        seed = seed_of(
            state,
            edits,
            self.tools,
            checkpoint_id=checkpoint_id,
            run_id=str(uuid4()),
            created_at=time.time(),
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
        return await asyncio.shield(self._accept(row))

    async def _admit(self, run_id: str, owner: str | None) -> None:
        """Raises `RunNotFound` for a run that is not the owner's, and `StorageUnavailable`.

        One that is another's takes the same steps as one that is not there, so that neither the
        answer nor its time tells them apart.
        """
        if not _is_run_id(run_id):
            raise RunNotFound(run_id)
        if (row := self._driver.accepted.get(run_id)) and owner in (row.owner, None):
            return
        if (state := self._driver.live.get(run_id)) and owner in (state["owner"], None):
            return
        with self._available():
            owned = await self._storage.index.owned(run_id, owner)
        if not owned:
            raise RunNotFound(run_id)

    async def _state(self, run_id: str) -> RunState:
        """The state of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        if row := self._driver.accepted.get(run_id):
            return state_of(row)
        if state := self._driver.live.get(run_id):
            return state
        with self._available():
            snapshot = await self._reading.aget_state(_thread(run_id))
            if snapshot.created_at:
                return cast("RunState", snapshot.values)
            found = await self._storage.index.find(run_id)
        if found is None:
            raise RunNotFound(run_id)
        return state_of(found)

    async def _with_forks(self, state: RunState) -> Record:
        with self._available():
            forks = await self._storage.index.forks(state["run_id"])
        return Record({**self._record(state), "forks": list(forks)})

    def _record(self, state: RunState) -> Record:
        return record_of(state, queue_position=self._executor.position(state["run_id"]))

    async def search(self, owner: str, search: Search, cursor: str | None = None) -> Page:
        """The runs of an owner that match, from where `cursor` says.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        if cursor is not None:
            search = replace(search, after=decode(cursor, search, owner=owner))
        with self._available():
            found = await self._storage.index.search(owner, search)
        return found_page(found, search, owner=owner)

    def mermaid(self) -> str:
        """The graph as a mermaid drawing."""
        return self.graph.get_graph().draw_mermaid()

    def models_state(self) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does; empty without models."""
        return self._roster.breaker.state() if self._roster else {}

    async def storage_state(self) -> dict[str, object]:
        """The backend, and whether it can be written just now."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.index.check()
        except unavailable as error:
            logger.warning("storage cannot be written: %s", error or type(error).__name__)
            return {"backend": self._storage.backend, "writable": False}
        return {"backend": self._storage.backend, "writable": True}

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except self._storage.errors as error:
            logger.warning("storage does not answer", exc_info=True)
            raise StorageUnavailable from error


def _thread(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id}}


def _is_run_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
