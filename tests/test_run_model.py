"""A model of runs: whatever is done to them and their process, they keep to the one table."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from graph import recovery
from graph.backends import open_storage
from graph.events import Event, events
from graph.runs import AlreadySettled, Runs
from graph.state import Limits, RunState, Status
from graph.status import RESTING, SETTLED, TRANSITIONS
from tests.live_runs import AT_ONCE, LONG, Gates, process, told, until
from tools.registry import ToolError

T = TypeVar("T")

SLOTS, OWNERS = 2, ("me", "you")

#: A third death without a step between them would be the run's own.
MOST_KILLS = 2

OUTCOMES = {
    "ok": "done",
    "not now": ToolError("not now", retryable=True),
    "never": ToolError("never", retryable=False),
}


@dataclass
class Known:
    """What a run is known to be, and what must be true of it from now on."""

    run_id: str
    labels: list[str]
    status: Status = "pending"
    events: list[Event] = field(default_factory=list)
    asked: bool = False
    final: RunState | None = None


def reachable(status: Status) -> set[Status]:
    """The statuses that a run may take from this one, over any number of changes, or none."""
    found: set[Status] = {status}
    while more := {after for one in found for after in TRANSITIONS[one]} - found:
        if status in SETTLED:  # only a retry leads out, and nobody asks for one
            break
        found |= {after for after in more if after != "pending"}
        if more <= {"pending"}:
            break
    return found


class RunModel(RuleBasedStateMachine):
    """Starts, ends of steps, cancellations, deaths and restarts, in any order."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(recovery, "PATIENCE", 0.02)
        self._patches.setattr(recovery, "PATIENCE_WITH_SUSPECTS", 0.02)
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = tempfile.TemporaryDirectory()
        self._gates = Gates()
        self._limits: Limits = AT_ONCE
        self._known: dict[str, Known] = {}
        self._kills = 0
        self._process: AbstractAsyncContextManager[Runs] | None = None
        self._runs: Runs

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    @initialize(limits=st.sampled_from([AT_ONCE, LONG]))
    def begin(self, limits: Limits) -> None:
        self._limits = limits
        self._do(self._begin())

    async def _begin(self) -> None:
        url = self.url.format(self._folder.name)
        self._storage = await self._stack.enter_async_context(open_storage(url))
        await self._start_process()

    async def _start_process(self, *, orderly: bool = True) -> None:
        self._ending = process(
            self._storage, self._gates, slots=SLOTS, limits=self._limits, orderly=orderly
        )
        self._runs = await self._ending.__aenter__()

    @rule(steps=st.integers(1, 2), owner=st.sampled_from(OWNERS))
    @precondition(lambda self: len(self._known) < 6)
    def start(self, steps: int, owner: str) -> None:
        number = len(self._known)
        labels = [f"{number}{step}" for step in "ab"[:steps]]
        prompt = ", then ".join(f"gate {label}" for label in labels)
        record = self._do(self._runs.start(prompt, owner=owner))
        assert record["status"] == "pending"
        self._known[record["run_id"]] = Known(record["run_id"], labels)

    @rule(ticks=st.integers(0, 8))
    @precondition(lambda self: len(self._known) < 6)
    def start_and_cancel(self, ticks: int) -> None:
        """After a moment that is too short for anything to have become quiet."""
        self._do(self._start_and_cancel(len(self._known), ticks))

    async def _start_and_cancel(self, number: int, ticks: int) -> None:
        record = await self._runs.start(f"gate {number}a")
        known = self._known[record["run_id"]] = Known(record["run_id"], [f"{number}a"])
        for _ in range(ticks):
            await asyncio.sleep(0)
        await self._cancel(known, 1, let_go_on=False)

    @rule(which=st.integers(0, 9), outcome=st.sampled_from(sorted(OUTCOMES)))
    @precondition(lambda self: self._gates.waiting)
    def end_a_step(self, which: int, outcome: str) -> None:
        waiting = self._gates.waiting
        label = waiting[which % len(waiting)]
        self._do(self._end(label, outcome))

    async def _end(self, label: str, outcome: str) -> None:
        calls = self._gates.calls[label]
        self._gates.end(label, OUTCOMES[outcome])
        await until(lambda: self._gates.calls[label] > calls or label not in self._gates.waiting)

    @rule(which=st.integers(0, 9), times=st.integers(1, 3), let_go_on=st.booleans())
    @precondition(lambda self: self._known)
    def cancel(self, which: int, times: int, let_go_on: bool) -> None:
        """Of any run, by several at once, and perhaps while its step is ending."""
        known = list(self._known.values())[which % len(self._known)]
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

    @rule()
    @precondition(lambda self: self._kills < MOST_KILLS and self._gates.waiting)
    def kill(self) -> None:
        """The process writes nothing any more; another one starts."""
        self._kills += 1
        self._do(self._restart(orderly=False))

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self._kills < MOST_KILLS and self._known)
    def kill_between_mark_and_act(self, which: int) -> None:
        known = list(self._known.values())[which % len(self._known)]
        self._kills += 1
        marked = self._do(self._storage.index.request_cancel(known.run_id, at=1.0, by="me"))
        assert marked == (known.status not in SETTLED)
        self._do(self._restart(orderly=False))
        if marked:
            assert self._do(self._runs.get(known.run_id, owner=None))["status"] == "cancelled"

    @rule()
    @precondition(lambda self: any(one.status not in SETTLED for one in self._known.values()))
    def restart(self) -> None:
        self._do(self._restart(orderly=True))

    async def _restart(self, *, orderly: bool) -> None:
        if orderly:
            await self._ending.__aexit__(None, None, None)
        else:
            await self._runs._executor.stop(grace=0)
        await self._start_process()

    @invariant()
    def every_run_is_what_it_may_be(self) -> None:
        if hasattr(self, "_runs"):
            self._do(self._check())

    async def _check(self) -> None:
        await until(self._is_quiet, seconds=2)
        open_steps = set(self._gates.waiting)
        assert len(open_steps) <= SLOTS
        queued = 0
        for known in self._known.values():
            state = await self._runs._state(known.run_id)
            self._check_state(known, state)
            if state["status"] == "pending":
                queued += 1
            if state["status"] in SETTLED:
                assert not open_steps & set(known.labels), "a step goes on after the end"
                row = await self._storage.index.find(known.run_id)
                assert row is not None
                assert row.status == state["status"]
        assert not queued or self._at_work() == SLOTS, "a slot is lost"

    def _is_quiet(self) -> bool:
        """Every run is settled, at its gate, in a backoff, or in the queue behind busy slots."""
        executor, live = self._runs._executor, self._runs._driver.live
        open_steps = set(self._gates.waiting)
        for run in self._known.values():
            state = live.get(run.run_id)
            if executor.holds_slot(run.run_id):
                if not open_steps & set(run.labels):
                    return False
            elif run.run_id in executor._executions and (not state or not state["not_before"]):
                return False
        return not executor._queue or self._at_work() == SLOTS

    def _at_work(self) -> int:
        return sum(self._runs._executor.holds_slot(run_id) for run_id in self._known)

    def _check_state(self, known: Known, state: RunState) -> None:
        assert state["status"] in reachable(known.status), (known.status, state["status"])
        seen = events(state)
        assert seen[: len(known.events)] == known.events
        if known.final is not None:
            assert state == known.final
        ended = [event["type"] for event in seen[-2:]] == [f"run.{state['status']}", "end"]
        assert ended == (state["status"] in SETTLED)
        if state["status"] == "cancelled":
            assert known.asked or any(e["type"] == "run.cancelling" for e in seen)
        log = [entry for entry in state.get("log", []) if entry["kind"] == "attempt"]
        assert [(e["step"], e["attempt"]) for e in log] == sorted(
            {(e["step"], e["attempt"]) for e in log}
        )
        done = [entry["step"] for entry in log if entry["status"] == "ok"]
        assert done == list(range(1, state["cursor"] + 1))
        assert (state["status"] == "completed") == (len(done) == len(known.labels)) or (
            state["status"] in {"cancelled", *(set(TRANSITIONS) - RESTING)}
        )
        if state["status"] in SETTLED:
            known.final = state
        known.status, known.events = state["status"], seen

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


class OverMemory(RunModel):
    """Over the backend that ends with its process, whose death is then only simulated."""

    url = "memory://"


class OverSqlite(RunModel):
    """Over a file."""

    url = "sqlite:///{}/runs.db"


def _examples(number: int) -> settings:
    return settings(
        max_examples=number,
        stateful_step_count=20,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes long to shorten
        suppress_health_check=[HealthCheck.too_slow],
    )


TestOverMemory = OverMemory.TestCase
TestOverMemory.settings = _examples(30)
TestOverSqlite = OverSqlite.TestCase
TestOverSqlite.settings = _examples(15)
