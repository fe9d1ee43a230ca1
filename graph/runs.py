"""The life of a run: accepted, executed, read, taken up again, settled."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import uuid4

from graph.acceptance import Acceptance
from graph.approvals import SHORTEST_SWEEP, SWEEP, Approvals
from graph.backlog import queue_backlog
from graph.drafts import Draft, Drafts
from graph.drawing import draw
from graph.driver import Driver
from graph.engine import Engine
from graph.feeds import Feed
from graph.health import Health
from graph.history import Checkpoint, HistoryPage, checkpoint_of, page_of
from graph.models.daily_budget import Account, DailyBudget, DailyLimit, renewal
from graph.policy import RunPolicy
from graph.reader import StorageUnavailable, thread
from graph.record.explain import Explanation, explain
from graph.record.record import Record
from graph.remover import Remover
from graph.repair import Repair
from graph.request_key import refuse_second
from graph.state import Approve, Budget
from graph.state.row import RequestKey, RunRow
from graph.state.status import SETTLED, WrongStatus, may_become
from graph.storage.pages import Page, decode, found_page
from graph.storage.search import Search
from nodes.plan import prompt_error
from nodes.planning.roster import Roster


class AlreadySettled(WrongStatus):
    """The run has ended, so that there is nothing to cancel."""

    rule = "only one that has not ended can be cancelled"


class PromptRejected(Exception):
    """A prompt that cannot become a run; the message says what would be right."""


class Runs:
    """Everything that can be done with runs, over one graph and one storage.

    `owner` says whose runs there are for a call: another's are not found. None is whoever has the
    storage itself, and finds all.
    """

    def __init__(
        self,
        engine: Engine,
        policy: RunPolicy,
        roster: Roster | None = None,
        *,
        daily_budget: DailyBudget | None = None,
    ) -> None:
        models = len(roster.models) if roster else 0
        self._engine = engine
        self._storage, self._reader, self._executor = engine.storage, engine.reader, engine.executor
        self.graph, self.tools, self.feeds = engine.graph, engine.tools, engine.feeds
        self._policy = policy
        self._daily_budget = daily_budget
        self._sweeping: asyncio.Task[None] | None = None
        self._driver = Driver(engine, models=models)
        self._drafts = Drafts(engine.graph, engine.tools, policy.limits, models)
        self._acceptance = Acceptance(engine)
        self.approvals = Approvals(engine, self._driver, self._acceptance)
        self.repair = Repair(
            engine, self._driver, self._acceptance, approval_expires=policy.approval_expires
        )
        self.remover = Remover(engine.storage, engine.reader, engine.feeds)
        self.health = Health(engine.storage, roster)

    @property
    def ready(self) -> bool:
        """Whether runs are taken."""
        return self._acceptance.ready

    async def open(self, *, take_up: bool) -> None:
        """Begin to execute; with `take_up` also every run that an earlier process left."""
        if take_up:
            await queue_backlog(self._engine, self._driver)
        self._executor.start(self._driver.execute)
        if take_up:
            every = max(SHORTEST_SWEEP, min(SWEEP, self._policy.approval_expires / 10))
            self._sweeping = asyncio.create_task(self.approvals.sweep(every))
        self._acceptance.ready = True

    async def close(self, grace: float) -> None:
        """Accept nothing more, let attempts in flight end for `grace` seconds, leave the rest.

        What is left goes on from its last checkpoint at the next start. Who watches is let go.
        """
        self._acceptance.ready = False
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
        self._acceptance.check()
        if key is not None:
            with self._reader.available():
                first = await self._storage.index.find_key(owner, key.name, at=time.time())
            if first is not None:  # whatever else stands in the way of a new run
                refuse_second(first, key)
        if reason := prompt_error(prompt, self._policy.limits["max_prompt"]):
            raise PromptRejected(reason)
        row = RunRow(
            run_id=str(uuid4()),
            owner=owner,
            prompt=prompt,
            limits=self._policy.limits,
            created_at=time.time(),
            budget=budget,
            approve=approve or self._policy.approve,
        )
        return await self._acceptance.accept(row, key)

    async def get(self, run_id: str, *, owner: str | None) -> Record:
        """The record of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        await self._reader.admit(run_id, owner)
        return await self._reader.record(await self._reader.state(run_id))

    async def explain(self, run_id: str, *, owner: str | None) -> Explanation:
        """Where the time of a run went so far, and why.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        state = await self._reader.admitted(run_id, owner)
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
            return await self._reader.record(feed.state)

    @asynccontextmanager
    async def watching(self, run_id: str, *, owner: str | None) -> AsyncIterator[Feed]:
        """The feed of a run. Raises `RunNotFound` and `StorageUnavailable`."""
        await self._reader.admit(run_id, owner)
        async with self.feeds.watching(run_id) as feed:
            yield feed

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        """Cancel a run; its record, which tells what was done and what was not.

        A run that is cancelled already is left as it is. Raises `RunNotFound`, `AlreadySettled`
        and `StorageUnavailable`; after the last one the run is cancelled as soon as the storage
        answers, if the request was stored. Raises `NotAccepting` while the process is ending.
        """
        state = await self._reader.admitted(run_id, owner)
        if may_become(state["status"], "cancelled"):
            self._acceptance.check()
            # Shielded from a caller who goes away: once the mark is stored, the act follows.
            await asyncio.shield(self._stop(run_id, by))
            state = await self._reader.state(run_id)
        if state["status"] not in SETTLED:
            raise StorageUnavailable
        if state["status"] != "cancelled":
            raise AlreadySettled(run_id, state["status"])
        return await self._reader.record(state)

    async def _stop(self, run_id: str, by: str) -> None:
        with self._reader.available():
            await self._storage.index.request_cancel(run_id, at=time.time(), by=by)
        await self._driver.cancel(run_id)

    async def plan(
        self, prompt: str, *, owner: str = "default", budget: Budget | None = None
    ) -> Draft:
        """The plan that a run of this prompt would be given; nothing is stored but what it cost.

        Raises `PromptRejected`, `StorageUnavailable` where what it cost cannot be stored, and
        `NotAccepting` while the process is ending.
        """
        self._acceptance.check()
        if reason := prompt_error(prompt, self._policy.limits["max_prompt"]):
            raise PromptRejected(reason)
        with self._reader.available():
            return await self._drafts.make(prompt, owner=owner, budget=budget)

    async def account(self, owner: str) -> Account:
        """How the owner's budget of the day stands. Raises `StorageUnavailable`."""
        if self._daily_budget is None:
            return Account(DailyLimit(), None, renewal(time.time()))
        with self._reader.available():
            return await self._daily_budget.account(owner)

    async def history(
        self, run_id: str, *, owner: str | None, limit: int, before: str | None = None
    ) -> HistoryPage:
        """The latest checkpoints of a run, or those before one; none while it was not begun.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._reader.admit(run_id, owner)
        with self._reader.available():
            return await page_of(self._reader.graph, thread(run_id), limit=limit, before=before)

    async def checkpoint(self, run_id: str, checkpoint_id: str, *, owner: str | None) -> Checkpoint:
        """One checkpoint of a run.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._reader.admit(run_id, owner)
        with self._reader.available():
            return await checkpoint_of(self._reader.graph, thread(run_id), checkpoint_id)

    async def search(self, owner: str, search: Search, cursor: str | None = None) -> Page:
        """The runs of an owner that match, from where `cursor` says.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        if cursor is not None:
            search = replace(search, after=decode(cursor, search, owner=owner))
        with self._reader.available():
            found = await self._storage.index.search(owner, search)
        return found_page(found, search, owner=owner)

    def mermaid(self) -> str:
        """The graph as a mermaid drawing."""
        return draw(self.graph).mermaid
