"""An in-memory stand-in for `graph.service.Runs`."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from graph.commands.threads import NotSettled
from graph.models.calls import Account, DailyLimit
from graph.queue.executor import Executor
from graph.queue.fair import Load, Quotas, Usage
from graph.record.explain import Explanation, explain
from graph.record.record import Record, record_of
from graph.runs.accept import NO_OPTIONS, RunOptions
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.runs.live import Broadcaster, LiveRuns, SettledRuns
from graph.runs.threads import ThreadNotFound
from graph.runs.watch import RunSubscription
from graph.service import PromptRejected
from graph.state import Approve, Budget, RunState
from graph.state.row import IdempotencyKey, Kept
from graph.state.status import SETTLED
from graph.storage.search import Page, Search, decode
from nodes.plan import prompt_error
from tests.support.runs.run_states import CREATED_AT, cancelled, queued
from tests.support.runs.still_runs import note_tools

MAX_PROMPT = 20_000

LIMITS = {
    "step_timeout": 30.0,
    "max_attempts": 3,
    "backoff": 0.5,
    "max_prompt": MAX_PROMPT,
    "max_steps": 100,
    "max_output": 262_144,
}


class FakeRuns:
    """Remembers runs and executes none; `failure` is raised by every call while it is set.

    Where `still_runs` do not serve: a state of a run that a test has made is there at the moment
    that it says, what is read meanwhile is counted, and everything can fail. A run is there by its
    record, or by its state where its events are wanted too.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.states: dict[str, RunState] = {}
        self.live = LiveRuns()
        self.settled = SettledRuns()
        self.broadcaster = Broadcaster(self._state, self.live, self.settled)
        self.tools = note_tools()
        self.ready = True
        self.writable = True
        self.failure: Exception | None = None
        self.reads = 0
        self.read = asyncio.Event()  # a state was
        self.started: list[str] = []
        self.cancelled_by: list[str] = []
        self.health = self  # they are one here

    def watched(self) -> dict[str, RunSubscription]:
        """The subscriptions that somebody watches."""
        found = {live.run_id: live.subscription for live in self.live}
        return {run_id: one for run_id, one in found.items() if one and one.watchers}

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
        by: str | None = None,
    ) -> Record:
        self._fail()
        if thread_id is not None and thread_id not in self.records:
            raise ThreadNotFound(thread_id)
        if reason := prompt_error(prompt, MAX_PROMPT):
            raise PromptRejected(reason)
        choice, metadata = options.choice((), self.tools), options.checked_metadata() or {}
        given: dict[str, Any] = {"choice": choice, "metadata": metadata}
        record = self.add(accepted(prompt, owner=owner, budget=budget, **given))
        self.started.append(record["run_id"])
        self.states[record["run_id"]] = queued(prompt, run_id=record["run_id"])
        return record

    async def get(self, run_id: str, *, owner: str | None) -> Record:
        self._fail()
        if run_id not in self.records or self.records[run_id]["owner"] != owner:
            raise RunNotFound(run_id)
        return self.records[run_id]

    @asynccontextmanager
    async def watching(
        self, run_id: str, *, owner: str | None, latest: bool = False
    ) -> AsyncIterator[RunSubscription]:
        async with self.broadcaster.watching(run_id, latest=latest) as subscription:
            yield subscription

    async def wait(self, run_id: str, timeout: float, *, owner: str | None) -> Record:
        async with self.watching(run_id, owner=owner) as subscription:
            with suppress(TimeoutError):
                await asyncio.wait_for(subscription.until_settled(), timeout)
        return self.records[run_id]

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        self.cancelled_by.append(by)
        state = await self._state(run_id)
        if state["status"] in ("completed", "failed"):
            raise AlreadySettled(run_id, state["status"])
        if state["status"] != "cancelled":
            self.store(cancelled(state, cut_off=state["status"] == "running"))
        return self.records[run_id]

    async def explain(self, run_id: str, *, owner: str | None) -> Explanation:
        return explain(await self._state(run_id), now=CREATED_AT + 100)

    async def remove(self, run_id: str, *, owner: str | None, by: str | None = None) -> None:
        state = await self._state(run_id)
        if state["status"] not in SETTLED:
            raise NotSettled(run_id, state["status"])
        del self.states[run_id], self.records[run_id]

    async def search(self, owner: str, search: Search, cursor: str | None = None) -> Page:
        self._fail()
        if cursor is not None:
            decode(cursor, search, owner=owner)
        raise AssertionError("real runs are asked what there is")

    async def account(self, owner: str) -> Account:
        self._fail()
        return Account(DailyLimit(), None, CREATED_AT)

    async def usage(self, owner: str) -> tuple[Quotas, Usage]:
        self._fail()
        return Quotas(), Usage(posts=0, kept=Kept(len(self.records), 0))

    def servers(self) -> Mapping[str, Mapping[str, object]]:
        return {}

    def models(self, owner: str | None) -> dict[str, dict[str, object]]:
        return {
            "some/model": {"state": "open", "until": CREATED_AT, "error_class": "timeout"},
            "another/model": {"state": "ok", "until": None, "error_class": None},
        }

    def runs(self, owner: str | None) -> Load:
        return Executor(slots=24, max_queued=100).load(owner)

    async def storage(self) -> dict[str, object]:
        self._fail()
        return {"backend": "memory", "writable": self.writable}

    def add(self, record: Record) -> Record:
        self.records[record["run_id"]] = record
        return record

    def store(self, state: RunState) -> str:
        """Keep the state of a run and tell its watchers; its id."""
        run_id = state["run_id"]
        self.states[run_id] = state
        self.records[run_id] = record_of(state)
        self.broadcaster.publish(state)
        return run_id

    async def _state(self, run_id: str) -> RunState:
        self._fail()
        self.reads += 1
        self.read.set()
        if run_id not in self.states:
            raise RunNotFound(run_id)
        return self.states[run_id]

    def _fail(self) -> None:
        if self.failure:
            raise self.failure


def accepted(prompt: str = "say hello", **fields: Any) -> Record:
    """The record of a run that nobody has looked at yet, `fields` set besides."""
    record = {
        "version": 1,
        "run_id": str(uuid.uuid4()),
        "forked_from": None,
        "forks": [],
        "owner": "default",
        "prompt": prompt,
        "status": "pending",
        "planned_by": None,
        "plan": {"steps": []},
        "plan_proposed": None,
        "approval": None,
        "execution_log": [],
        "marks": [],
        "choice": None,
        "metadata": {},
        "planning_log": [],
        "limits": LIMITS,
        "budget": None,
        "current": None,
        "progress": {"done": 0, "of": None},
        "retries": 0,
        "usage": {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0, "by_model": {}},
        "result": None,
        "error": None,
        "last_event_id": 1,
        "actions": ["cancel"],
        "queue_position": 1,
        "created_at": CREATED_AT,
        "started_at": None,
        "completed_at": None,
    }
    return cast("Record", record | fields)


def eventful() -> Record:
    """The record of a run that has something in every field, each in its fullest form."""
    step = {
        "step": 1,
        "tool": "notes.add",
        "input": {"text": "Grüße, 東京 \N{WAVING HAND SIGN}"},
        "reasoning": "asked for",
        "span": [0, 9],
    }
    error = {"type": "ConnectionError", "message": "no answer", "retryable": True}
    attempt = {
        "step": 1,
        "tool": "notes.add",
        "input": step["input"],
        "attempt": 1,
        "generation": 0,
        "status": "error",
        "output": None,
        "error": error,
        "retry_at": CREATED_AT + 2,
        "thread_running": False,
        "may_have_acted": True,
        "step_key": "0b0a2d3e-4d6f-5c1a-9a52-5e9e0f4a1b11",
        "started_at": CREATED_AT + 1,
        "duration_ms": 12.5,
    }
    planning = {
        "planner": "llm",
        "model": "some/model",
        "outcome": "planned",
        "error_class": None,
        "transient": None,
        "reasons": [],
        "started_at": CREATED_AT + 0.5,
        "duration_ms": 480.0,
        "input_tokens": 800,
        "output_tokens": 90,
        "usd": 0.002,
    }
    return accepted(
        status="running",
        planned_by={
            "source": "llm",
            "model": "some/model",
            "reason": "configured",
            "complexity": {"level": "simple"},
        },
        plan={"steps": [step]},
        execution_log=[attempt],
        marks=[
            {
                "what": "taken_up",
                "at": CREATED_AT + 3,
                "by": "server",
                "detail": None,
                "event": 6,
                "retry": None,
                "steps": None,
            }
        ],
        planning_log=[planning],
        current={"step": 1, "attempt": 2, "not_before": CREATED_AT + 4},
        usage={
            "calls": 1,
            "input_tokens": 800,
            "output_tokens": 90,
            "usd": None,
            "by_model": {"some/model": {"calls": 1}},
        },
        result={"output": {"large": 2**70}, "summary": "1 note"},
        error={
            "type": "step_failed",
            "message": "no answer",
            "step": 1,
            "unparsed": [{"text": "hum a tune", "span": [10, 20]}],
            "examples": ["note: buy milk"],
            "rejected_plan": {"steps": [step]},
        },
        started_at=CREATED_AT + 0.5,
        completed_at=CREATED_AT + 5,
    )
