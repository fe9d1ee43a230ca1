"""A model of runs: whatever is done to them and their process, they keep to the one table."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from graph.commands.approval import NotWaiting
from graph.commands.retry import NoBackoff, NotRetryable, RetryRequest, command_of
from graph.commands.seeded import Edits
from graph.runs import threads
from graph.runs.cancellation import AlreadySettled
from graph.service import Runs
from graph.state import Approve, Limits, RunState
from graph.state.row import ApprovalAnswer
from graph.state.status import SETTLED
from graph.storage.open import open_storage
from nodes.approval.questions import PlanUnfit, read_plan
from tests.support.examples import examples
from tests.support.patience import patience, until
from tests.support.runs.known_runs import Known
from tests.support.runs.live_runs import AT_ONCE, LONG, Gates, process, told
from tools.registry import ToolError

T = TypeVar("T")

SLOTS, OWNERS = 2, ("me", "you")

#: A third death without a step between them would be the run's own.
MOST_KILLS = 2
MOST_RUNS = 7

OUTCOMES = {
    "ok": "done",
    "not now": ToolError("not now", retryable=True),
    "never": ToolError("never", retryable=False),
}


@dataclass(frozen=True)
class Asked:
    """A retry: `back` so many steps from where the run stopped."""

    back: int
    edit: bool
    skip: bool


def requests() -> st.SearchStrategy[Asked]:
    return st.builds(Asked, st.integers(0, 2), st.booleans(), st.booleans())


def gates(*labels: str) -> list[dict[str, Any]]:
    return [{"tool": "gate", "input": {"label": label}} for label in labels]


class RunModel(RuleBasedStateMachine):
    """Starts, ends of steps, cancellations, retries, decisions, forks, deaths and restarts.

    What a rule finds depends on the clock, so a rule that has nothing to do does nothing: it has no
    precondition, by which an example could not be played again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(threads, "SLOT_SECONDS", 0.02)
        self._patches.setattr(threads, "QUARANTINE_SECONDS", 0.02)
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = tempfile.TemporaryDirectory()
        self._gates = Gates()
        self._limits: Limits = AT_ONCE
        self._known: dict[str, Known] = {}
        self._labels = 0
        self._kills = 0
        self._runs: Runs

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    @initialize(limits=st.sampled_from([AT_ONCE, LONG]))
    def begin(self, limits: Limits) -> None:
        self._limits = limits
        self._do(self._begin())

    async def _begin(self) -> None:
        url = f"sqlite:///{self._folder.name}/runs.db"
        self._storage = await self._stack.enter_async_context(open_storage(url))
        await self._start_process()

    async def _start_process(self, *, orderly: bool = True) -> None:
        self._ending = process(
            self._storage, self._gates, slots=SLOTS, limits=self._limits, orderly=orderly
        )
        self._runs = await self._ending.__aenter__()

    def _new_labels(self, number: int) -> list[str]:
        """Labels that no step of any run has."""
        self._labels += number
        return [f"g{self._labels - place}" for place in range(number)]

    def _any(self, which: int) -> Known:
        return list(self._known.values())[which % len(self._known)]

    @rule(
        steps=st.integers(1, 3),
        owner=st.sampled_from(OWNERS),
        approve=st.sampled_from(get_args(Approve)),
    )
    def start(self, steps: int, owner: str, approve: Approve) -> None:
        if len(self._known) >= MOST_RUNS:
            return
        labels = self._new_labels(steps)
        prompt = ", then ".join(f"gate {label}" for label in labels)
        record = self._do(self._runs.start(prompt, owner=owner, approve=approve))
        assert record["status"] == "pending"
        known = Known(record["run_id"], labels, approve, approved=approve == "never")
        self._known[known.run_id] = known

    @rule(ticks=st.integers(0, 8))
    def start_and_cancel(self, ticks: int) -> None:
        """After a moment that is too short for anything to have become quiet."""
        if len(self._known) >= MOST_RUNS:
            return
        self._do(self._start_and_cancel(ticks))

    async def _start_and_cancel(self, ticks: int) -> None:
        [label] = self._new_labels(1)
        record = await self._runs.start(f"gate {label}")
        known = self._known[record["run_id"]] = Known(record["run_id"], [label])
        for _ in range(ticks):
            await asyncio.sleep(0)
        await self._cancel(known, 1, let_go_on=False)

    @rule(which=st.integers(0, 9), outcome=st.sampled_from(sorted(OUTCOMES)))
    def end_a_step(self, which: int, outcome: str) -> None:
        if not self._gates.waiting:
            return
        waiting = self._gates.waiting
        label = waiting[which % len(waiting)]
        self._do(self._end(label, outcome))

    async def _end(self, label: str, outcome: str) -> None:
        calls = self._gates.calls[label]
        self._gates.end(label, OUTCOMES[outcome])
        await until(lambda: self._gates.calls[label] > calls or label not in self._gates.waiting)

    @rule(which=st.integers(0, 9), times=st.integers(1, 3), let_go_on=st.booleans())
    def cancel(self, which: int, times: int, let_go_on: bool) -> None:
        """Of any run, by several at once, and perhaps while its step is ending."""
        if not self._known:
            return
        known = self._any(which)
        self._do(self._cancel(known, times, let_go_on))

    async def _cancel(self, known: Known, times: int, let_go_on: bool) -> None:
        before = (await self._runs.get(known.run_id, owner=None))["status"]
        for label in known.labels:
            if let_go_on and label in self._gates.waiting:
                self._gates.end(label, OUTCOMES["ok"])
        outcomes = await asyncio.gather(
            *(self._runs.cancel(known.run_id, by=f"{n}", owner=None) for n in range(times)),
            return_exceptions=True,
        )
        after = await self._runs.get(known.run_id, owner=None)
        if before in ("completed", "failed"):
            assert after["status"] == before
        elif not let_go_on:
            assert after["status"] == "cancelled"
        for outcome in outcomes:
            if after["status"] == "cancelled":
                assert outcome == after
            else:
                assert isinstance(outcome, AlreadySettled)
        known.asked = True

    @rule(which=st.integers(0, 9), asked=requests(), killed=st.booleans())
    def retry(self, which: int, asked: Asked, killed: bool) -> None:
        """Of any run, perhaps by a process that dies before it carries that out."""
        if not self._known:
            return
        self._do(self._retry(self._any(which), asked, killed and self._kills < MOST_KILLS))

    async def _retry(self, known: Known, asked: Asked, killed: bool) -> None:
        state = await self._runs._reader.state(known.run_id)
        request, labels = self._request(known, state, asked)
        if state["status"] not in ("failed", "cancelled"):
            with pytest.raises(NotRetryable):
                await self._runs.retry(known.run_id, request, by="me", owner=None)
            return
        if killed:
            order = command_of(state, request, self._gates.tools, by="me")
            assert await self._storage.index.request_retry(known.run_id, order)
        else:
            record = await self._runs.retry(known.run_id, request, by="me", owner=None)
            assert (record["status"], record["error"]) == ("pending", None)
        first = request.from_step or 1
        before = {step for step in known.skipped if step < first}
        known.continues(first=first, skipped=before | {*(request.skip or ())})
        known.labels += labels
        if labels and known.approve != "never":
            known.approved = False
        if killed:
            await self._kill()

    def _request(
        self, known: Known, state: RunState, asked: Asked
    ) -> tuple[RetryRequest, list[str]]:
        """A request that the plan of the run allows, and the labels that it brings."""
        steps = len(state["plan"]["steps"])
        if not steps:
            return RetryRequest(), []
        stopped = min(state["cursor"] + 1, steps)
        first = max(known.floor + 1, stopped - asked.back)
        labels = self._new_labels(1) if asked.edit else []
        skip = (first + 1,) if asked.skip and first < steps else ()
        return RetryRequest(first, {"label": labels[0]} if labels else None, skip), labels

    @rule(which=st.integers(0, 9))
    def retry_now(self, which: int) -> None:
        if not self._known:
            return
        self._do(self._retry_now(self._any(which)))

    async def _retry_now(self, known: Known) -> None:
        live = self._runs._context.live.get(known.run_id)
        if live is None or live.backoff is None:
            with pytest.raises(NoBackoff):
                await self._runs.retry_now(known.run_id, owner=None)
        else:
            record = await self._runs.retry_now(known.run_id, owner=None)
            assert record["current"] is not None
            assert record["current"]["not_before"] is None

    @rule(which=st.integers(0, 9), edited=st.integers(0, 2), killed=st.booleans())
    def approve(self, which: int, edited: int, killed: bool) -> None:
        """The plan of any run, or another one of so many steps."""
        if not self._known:
            return
        killed = killed and self._kills < MOST_KILLS
        self._do(self._approve(self._any(which), self._new_labels(edited), killed))

    async def _approve(self, known: Known, labels: list[str], killed: bool) -> None:
        plan = {"steps": gates(*labels)} if labels else None
        state = await self._runs._reader.state(known.run_id)
        refused = None if known.status == "waiting" else NotWaiting
        if not refused and labels and (state["cursor"] or known.skipped):
            refused = PlanUnfit
        if refused:
            with pytest.raises(refused):
                await self._runs.approve(known.run_id, by="me", owner=None, plan=plan)
            return
        if killed:
            edited = plan and read_plan(plan, self._gates.tools, state["limits"])
            approval_answer = ApprovalAnswer(
                what="approved", at=1.0, by="me", reason=None, plan=edited
            )
            assert await self._storage.index.decide(known.run_id, approval_answer)
        else:
            record = await self._runs.approve(known.run_id, by="me", owner=None, plan=plan)
            assert record["status"] == "running"
        known.approved = True
        known.labels += labels
        if killed:
            await self._kill()

    @rule(which=st.integers(0, 9))
    def reject(self, which: int) -> None:
        if not self._known:
            return
        self._do(self._reject(self._any(which)))

    async def _reject(self, known: Known) -> None:
        if known.status != "waiting":
            with pytest.raises(NotWaiting):
                await self._runs.reject(known.run_id, by="me", owner=None)
            return
        record = await self._runs.reject(known.run_id, by="me", owner=None)
        assert record["error"] is not None
        assert (record["status"], record["error"]["type"]) == ("cancelled", "rejected")
        known.asked = True

    @rule()
    def expire(self) -> None:
        """The time of every plan that waits is over."""
        self._do(self._expire())

    async def _expire(self) -> None:
        waiting = [one for one in self._known.values() if one.status == "waiting"]
        for known in waiting:
            known.asked = True
            await self._storage.index.note_expiry(known.run_id, 1.0)
        sweeping = asyncio.create_task(self._runs.deadlines.sweep())
        for known in waiting:
            async with asyncio.timeout(patience()):
                while (await self._runs._reader.state(known.run_id))["status"] == "waiting":  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        sweeping.cancel()

    @rule(which=st.integers(0, 9), place=st.integers(0, 30), more=st.integers(1, 2))
    def fork(self, which: int, place: int, more: int) -> None:
        """From any checkpoint that has a plan, with other steps than are not done there."""
        if not 0 < len(self._known) < MOST_RUNS:
            return
        self._do(self._fork(self._any(which), place, more))

    async def _fork(self, known: Known, place: int, more: int) -> None:
        page = await self._runs.history(known.run_id, owner=None, limit=200)
        ids = [one["checkpoint_id"] for one in page["checkpoints"]]
        if not ids:
            return
        checkpoint_id = ids[place % len(ids)]
        found = await self._runs.checkpoint(known.run_id, checkpoint_id, owner=None)
        if not (state := found["state"]) or not state["plan"]["steps"]:
            return
        labels = self._new_labels(more)
        done = state["plan"]["steps"][: state["cursor"]]
        steps = [{**step, "reasoning": ""} for step in (*done, *gates(*labels))]
        record = await self._runs.fork(known.run_id, checkpoint_id, Edits(steps=steps), owner=None)
        fork = Known(record["run_id"], labels, known.approve, approved=known.approve == "never")
        fork.floor, fork.first = len(done), len(done) + 1
        fork.skipped = {step for step in state.get("skipped", []) if step <= len(done)}
        self._known[fork.run_id] = fork

    @rule()
    def kill(self) -> None:
        """The process writes nothing any more; another one starts."""
        if self._kills == MOST_KILLS or not self._gates.waiting:
            return
        self._do(self._kill())

    async def _kill(self) -> None:
        self._kills += 1
        await self._restart(orderly=False)

    @rule(which=st.integers(0, 9))
    def kill_between_mark_and_act(self, which: int) -> None:
        if self._kills == MOST_KILLS or not self._known:
            return
        known = self._any(which)
        self._kills += 1
        marked = self._do(self._storage.index.request_cancel(known.run_id, at=1.0, by="me"))
        assert marked == (known.status not in SETTLED)
        self._do(self._restart(orderly=False))
        if marked:
            assert self._do(self._runs.get(known.run_id, owner=None))["status"] == "cancelled"

    @rule()
    def restart(self) -> None:
        self._do(self._restart(orderly=True))

    async def _restart(self, *, orderly: bool) -> None:
        if orderly:
            await self._ending.__aexit__(None, None, None)
        else:
            await self._runs._context.executor.stop(grace=0)
        await self._start_process()

    @invariant()
    def every_run_is_what_it_may_be(self) -> None:
        if hasattr(self, "_runs"):
            self._do(self._check())

    async def _check(self) -> None:
        await until(self._is_quiet)
        open_steps = set(self._gates.waiting)
        queued = 0
        for known in self._known.values():
            state = await self._runs._reader.state(known.run_id)
            known.check(state)
            if state["status"] == "waiting":
                assert not open_steps & set(known.labels), "a step is executed that is asked about"
            if state["status"] == "pending":
                queued += 1
            if state["status"] in SETTLED:
                assert not open_steps & set(known.labels), "a step goes on after the end"
                row = await self._storage.index.find(known.run_id)
                assert row is not None
                assert row.status == state["status"]
        in_flight = self._runs._context.executor.load()["in_flight"]
        assert not queued or in_flight >= SLOTS, "a place is lost"

    def _is_quiet(self) -> bool:
        """Every run rests, is at its gate, in a backoff, or in the queue behind others."""
        open_steps = set(self._gates.waiting)
        for run in self._known.values():
            live = self._runs._context.live.get(run.run_id)
            if live is None or live.task is None:
                continue
            if live.backoff is None and not open_steps & set(run.labels):
                return False
        load = self._runs._context.executor.load()
        return not load["queued"] or load["in_flight"] >= SLOTS

    def teardown(self) -> None:
        if hasattr(self, "_runs"):
            self._do(self._finish())
        self._loop.close()
        self._patches.undo()
        self._folder.cleanup()

    async def _finish(self) -> None:
        """Every run can be brought to an end, and its whole history is one list."""
        for known in self._known.values():
            if known.status not in SETTLED:
                await self._runs.cancel(known.run_id, by="the end", owner=None)
            seen = await told(self._runs, known.run_id)
            assert seen[: len(known.events)] == known.events
        assert self._gates.waiting == []
        await self._ending.__aexit__(None, None, None)
        await self._stack.aclose()


def _examples(number: int) -> settings:
    return settings(
        max_examples=examples(number),
        stateful_step_count=30,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes long to shorten
        suppress_health_check=[HealthCheck.too_slow],
    )


TestRuns = RunModel.TestCase
TestRuns.settings = _examples(30)
