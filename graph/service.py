"""Everything that can be done with runs: begun, read, ordered about, ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from graph.commands.approval import ApprovalGate, PlanPreview, PlanPreviews, Resolver
from graph.commands.retry import Retrier, RetryRequest
from graph.commands.seeded import Edits, Forker, ToolCaller
from graph.commands.threads import Deletion, Threads
from graph.models.calls import Account, DailyBudget, DailyLimit, renewal
from graph.queue.fair import Quotas, Usage
from graph.queue.share import ModelCalls
from graph.record.explain import Explanation, explain
from graph.record.record import Record
from graph.runs.accept import NO_OPTIONS, Acceptance, RunOptions, RunPolicy, lowered
from graph.runs.cancellation import Canceller
from graph.runs.context import AuditTrail, Orders, RunContext
from graph.runs.fleet import FleetRuns
from graph.runs.history import Checkpoint, HistoryPage, Replays, checkpoint_of, page_of
from graph.runs.recovery import thread
from graph.runs.replay import Replayer
from graph.runs.runner import Runner
from graph.runs.upkeep import Deadlines, LoneRuns
from graph.runs.watch import RunSubscription
from graph.state import Approve, Budget, ResolvedAs
from graph.state.row import IdempotencyKey, RunRow
from graph.storage.search import Page, Search, decode, found_page
from graph.telemetry.metrics import Metrics
from graph.telemetry.server import Health, Scrape, Servers, draw
from nodes.plan import prompt_error
from nodes.planning.model import ModelLadder
from tools.receipts import Blob


class PromptRejected(Exception):
    """A prompt that cannot become a run; the message says what would be right."""


class Runs:
    """Everything that can be done with runs, over one graph and one storage.

    `owner` says whose runs there are for a call: another's are not found. None is the owner of the
    storage itself, and finds all.
    """

    def __init__(
        self,
        context: RunContext,
        policy: RunPolicy,
        ladder: ModelLadder | None = None,
        *,
        daily_budget: DailyBudget | None = None,
        calls: ModelCalls | None = None,
        servers: Servers = dict,
        metrics: Metrics | None = None,
        work: bool = True,
        replayer: Replayer | None = None,
    ) -> None:
        self._models = tuple(ladder.models) if ladder else ()
        models = len(self._models)
        self._context = context
        self._storage, self._reader = context.storage, context.reader
        self.graph, self.tools, self.broadcaster = context.graph, context.tools, context.broadcaster
        self.settled = context.settled
        self._policy = policy
        self._daily_budget = daily_budget
        self._runner = Runner(context, models=models)
        fleet = context.storage.fleet
        self._fleet = FleetRuns(context, self._runner, fleet, work=work) if fleet else None
        self._alone = None if fleet else LoneRuns(context, self._runner)
        orders: Orders = self._fleet or self._runner
        self._previews = PlanPreviews(context.graph, context.tools, policy.limits, models)
        self._acceptance = Acceptance(context, policy.quotas)
        self._tool_caller = ToolCaller(context, self._acceptance, policy)
        self._canceller = Canceller(context, orders)
        given: Any = {"approval_expires": policy.approval_expires, "models": ladder is not None}
        self._retrier = Retrier(context, orders, self._acceptance, **given)
        self._forker = Forker(context, self._acceptance, **given)
        self._deletion, self.audit = Deletion(context), AuditTrail(context.storage)
        self.threads = Threads(context, self._deletion)
        self.replays = Replays(context, self._acceptance, replayer or Replayer(context.tools))
        self.deadlines = Deadlines(context, orders)
        self.approval_gate = ApprovalGate(context, orders, self.deadlines)
        self._resolver = Resolver(context, orders)
        self.health = Health(context.storage, context.executor, ladder, calls, servers)
        self.metrics = Scrape(metrics, context, ladder, calls, servers) if metrics else None

    @property
    def ready(self) -> bool:
        """Whether runs are taken."""
        return self._context.executor.ready

    async def open(self, *, resume_unfinished: bool) -> None:
        """Begin to execute; with `resume_unfinished` also what an earlier process left."""
        if self._fleet:
            await self._fleet.open()
        if self._alone:
            await self._alone.open(resume_unfinished=resume_unfinished)
        if resume_unfinished:
            self.deadlines.start_sweeping(self._policy.approval_expires)
        self._context.executor.ready = True

    async def close(self, grace: float) -> None:
        """Accept nothing more, let attempts in flight end for `grace` seconds, leave the rest.

        What is left is resumed from its last checkpoint at the next start. Who watches is let go.
        """
        self._context.executor.ready = False
        await self.deadlines.stop_sweeping()
        if self._fleet:
            await self._fleet.stop_taking()
        if self._alone:
            await self._alone.close()
        self._runner.drain()
        await self._context.executor.stop(grace)
        if self._fleet:
            await self._fleet.close()
        await self._runner.close()
        self.broadcaster.close()

    async def start(
        self,
        prompt: str,
        *,
        owner: str = "default",
        budget: Budget | None = None,
        approve: Approve | None = None,
        options: RunOptions = NO_OPTIONS,
        key: IdempotencyKey | None = None,
        max_rounds: int | None = None,
        mend: int | None = None,
        thread_id: str | None = None,
        thread_name: str | None = None,
        alone: bool = False,
        by: str | None = None,
    ) -> Record:
        """Accept a task; it is on disk when this returns, and executed soon after.

        `approve` says whether it waits after planning until somebody approves; without it, as all.
        `max_rounds` and `mend` are limits below those that all runs have. It continues the thread
        of this id, or name, which it begins where there is none; `alone` only while no other run of
        it is to go on. Raises `PromptRejected`, what `Acceptance.accept` does, and `NotAccepting`.
        """
        self._context.check_ready()
        if key is not None:  # whatever else stands in the way of a new run
            await self._acceptance.check_key(owner, key)
        if reason := prompt_error(prompt, self._policy.limits["max_prompt"]):
            raise PromptRejected(reason)
        row = RunRow(
            run_id=str(uuid4()),
            owner=owner,
            prompt=prompt,
            limits=lowered(self._policy.limits, max_rounds=max_rounds, mend=mend),
            created_at=time.time(),
            budget=budget,
            approve=approve or self._policy.approve,
            choice=options.choice(self._models, self.tools),
            metadata=options.checked_metadata(),
            webhook=options.checked_webhook(self._policy.webhooks),
            posted_by=by,
            thread_id=thread_id,
            thread_name=thread_name,
            alone=alone,
        )
        return await self._acceptance.accept(row, key)

    async def call(
        self, tool: str, given: Mapping[str, Any], *, owner: str, by: str | None = None
    ) -> Record:
        """Accept one call of a tool as a run, as `start` does a task; nobody has to plan it.

        Raises `ToolNotFound` and what `start` raises; `ChoiceRejected` of what no plan may have.
        """
        return await self._tool_caller.call(tool, given, owner=owner, by=by)

    async def get(self, run_id: str, *, owner: str | None) -> Record:
        """The record of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        await self._reader.admit(run_id, owner)
        return await self._reader.record(await self._reader.state(run_id))

    async def explain(self, run_id: str, *, owner: str | None) -> Explanation:
        """Where the time of a run went so far, and why.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        state = await self._reader.admitted(run_id, owner)
        with self._storage.available():
            queued = await self._reader.is_queued(run_id)
        return explain(state, now=time.time(), queued=queued)

    async def wait(self, run_id: str, timeout: float, *, owner: str | None) -> Record:
        """The record of a run once it is settled or waits, or as it is after `timeout` seconds.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        async with self.watching(run_id, owner=owner) as subscription:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await subscription.until_settled()
            assert subscription.state is not None
            return await self._reader.record(subscription.state)

    @asynccontextmanager
    async def watching(
        self, run_id: str, *, owner: str | None, latest: bool = False
    ) -> AsyncIterator[RunSubscription]:
        """The subscription of a run; with `latest` it knows all that `get` told before.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        await self._reader.admit(run_id, owner)
        async with self.broadcaster.watching(run_id, latest=latest) as subscription:
            yield subscription

    async def blob(self, run_id: str, n: int, name: str, *, owner: str | None) -> Blob | None:
        """The bytes of this name that the n-th attempt of a run has returned, or None.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        return await self._reader.blob(run_id, n, name, owner)

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        """Cancel a run; its record, which tells what was done and what was not.

        A run that is cancelled already is left as it is. Raises `RunNotFound`, `AlreadySettled`
        and `StorageUnavailable`; after the last one the run is cancelled as soon as the storage
        answers, if the request was stored. Raises `NotAccepting` while the process is ending.
        """
        return await self._canceller.cancel(run_id, by=by, owner=owner)

    async def retry(
        self, run_id: str, request: RetryRequest, *, by: str, owner: str | None
    ) -> Record:
        """Let a failed or cancelled run go on; its record, which is pending again.

        A run that asks for approval waits again, unless somebody has approved the plan that it
        resumes with: an edited input makes it another, steps that are left out do not.

        The command to do so is on disk when this returns. Raises `RunNotFound`, `NotRetryable`,
        `NotPlanned`, `RetryRejected`, `RunUsedUp`, `TooManyPosts`, `NoRoom`, `QueueFull`,
        `NotAccepting` and `StorageUnavailable`; after the last one it continues as soon as the
        storage answers, if the command was stored.
        """
        return await self._retrier.retry(run_id, request, by=by, owner=owner)

    async def retry_now(self, run_id: str, *, owner: str | None) -> Record:
        """End the wait for a run's next attempt; its record.

        Raises `RunNotFound`, `NoBackoff` where it waits for nothing, and `StorageUnavailable`.
        """
        return await self._retrier.retry_now(run_id, owner=owner)

    async def approve(
        self, run_id: str, *, by: str, owner: str | None, plan: object = None, check: bool = False
    ) -> Record:
        """Execute the plan of a waiting run, or another `plan`, or only `check` it; its record.

        Raises `RunNotFound`, `NotWaiting`, `PlanUnfit`, `NotAccepting`, `StorageUnavailable`; after
        the last one it continues as soon as the storage answers, if the decision was stored.
        """
        return await self.approval_gate.approve(run_id, by=by, owner=owner, plan=plan, check=check)

    async def reject(
        self, run_id: str, *, by: str, owner: str | None, reason: str | None = None
    ) -> Record:
        """Settle a waiting run as cancelled, with nothing done; its record.

        Raises what `approve` raises, but for `PlanUnfit`.
        """
        return await self.approval_gate.reject(run_id, by=by, owner=owner, reason=reason)

    async def resolve(
        self,
        run_id: str,
        decided: ResolvedAs,
        output: Any = None,
        *,
        by: str,
        owner: str | None,
    ) -> Record:
        """Say what became of the step in doubt of a waiting run; its record by then.

        Raises `RunNotFound`, `NotInDoubt`, `AnswerUnfit`, `StorageUnavailable`; after the last one
        it continues as soon as the storage answers, if the decision was stored. Raises
        `NotAccepting` while the process is ending.
        """
        return await self._resolver.resolve(run_id, decided, output, by=by, owner=owner)

    async def fork(
        self,
        run_id: str,
        checkpoint_id: str,
        edits: Edits,
        *,
        owner: str | None,
        thread_id: str | None = None,
        by: str | None = None,
    ) -> Record:
        """Accept a new run that continues from a checkpoint of this one; it is on disk then.

        It has the owner of this one, and asks for approval as that does: an approval by then
        holds for the same plan, not for an edited one. It begins a thread unless it is told one.
        Raises `RunNotFound`, `CheckpointNotFound`, `ThreadNotFound`, `ForkRejected`,
        `TooManyPosts`, `QueueFull`, `NoRoom`, `RunUsedUp`, `NotAccepting`, `StorageUnavailable`.
        """
        given = (run_id, checkpoint_id, edits)
        return await self._forker.fork(*given, owner=owner, thread_id=thread_id, by=by)

    async def remove(self, run_id: str, *, owner: str | None, by: str | None = None) -> None:
        """Remove a settled run with everything that is kept of it but who did what, for good.

        Raises `RunNotFound`, `NotSettled` and `StorageUnavailable`.
        """
        await self._deletion.remove(run_id, owner=owner, by=by)

    async def remove_settled(self, run_ids: Sequence[str]) -> int:
        """Remove those of these runs that are settled, together; how many that were.

        A run whose state cannot be read stays. Raises `StorageUnavailable`.
        """
        return await self._deletion.remove_settled(run_ids)

    async def preview(
        self,
        prompt: str,
        *,
        owner: str = "default",
        budget: Budget | None = None,
        options: RunOptions = NO_OPTIONS,
    ) -> PlanPreview:
        """The plan that a run of this prompt would be given; nothing is stored but what it cost.

        Raises `PromptRejected`, `ChoiceRejected`, `TooManyPosts`, `StorageUnavailable` where what
        it cost cannot be stored, and `NotAccepting` while the process is ending.
        """
        self._context.check_ready()
        if reason := prompt_error(prompt, self._policy.limits["max_prompt"]):
            raise PromptRejected(reason)
        choice = options.choice(self._models, self.tools)
        await self._acceptance.count_post(owner)
        with self._storage.available():
            return await self._previews.make(prompt, owner=owner, budget=budget, choice=choice)

    async def account(self, owner: str) -> Account:
        """How the owner's budget of the day stands. Raises `StorageUnavailable`."""
        if self._daily_budget is None:
            return Account(DailyLimit(), None, renewal(time.time()))
        with self._storage.available():
            return await self._daily_budget.account(owner)

    async def usage(self, owner: str) -> tuple[Quotas, Usage]:
        """What the owner may take of the server, and has taken. Raises `StorageUnavailable`."""
        with self._storage.available():
            kept = await self._storage.index.kept(owner)
        return self._policy.quotas, Usage(await self._acceptance.posted(owner), kept)

    async def history(
        self, run_id: str, *, owner: str | None, limit: int, before: str | None = None
    ) -> HistoryPage:
        """The latest checkpoints of a run, or those before one; none while it was not begun.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._reader.admit(run_id, owner)
        with self._storage.available():
            return await page_of(self._reader.graph, thread(run_id), limit=limit, before=before)

    async def checkpoint(self, run_id: str, checkpoint_id: str, *, owner: str | None) -> Checkpoint:
        """One checkpoint of a run.

        Raises `RunNotFound`, `CheckpointNotFound` and `StorageUnavailable`.
        """
        await self._reader.admit(run_id, owner)
        with self._storage.available():
            return await checkpoint_of(self._reader.graph, thread(run_id), checkpoint_id)

    async def search(self, owner: str, search: Search, cursor: str | None = None) -> Page:
        """The runs of an owner that match, from where `cursor` says.

        Raises `InvalidCursor`, `SearchTooLarge` and `StorageUnavailable`.
        """
        if cursor is not None:
            search = replace(search, after=decode(cursor, search, owner=owner))
        with self._storage.available():
            found = await self._storage.index.search(owner, search)
        return found_page(found, search, owner=owner)

    def mermaid(self) -> str:
        """The graph as a mermaid drawing."""
        return draw(self.graph).mermaid
