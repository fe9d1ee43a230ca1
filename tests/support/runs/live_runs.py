"""Runs whose steps end when and how a test says, and what is stored of them."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graph.build import RunGraph, build_graph
from graph.models.breaker import CircuitBreaker
from graph.queue.executor import Executor
from graph.queue.fair import NO_QUOTAS, Quotas
from graph.queue.share import ModelCalls
from graph.record.events import Event, events
from graph.record.record import Record
from graph.runs.accept import RunPolicy
from graph.runs.context import make_context
from graph.runs.live import LiveRuns
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, AnswerPolicy, Approve, Channels, Limits, RunState, whole
from graph.storage.storage import Storage
from nodes.contract.steps import Paused
from nodes.planning.model import Completion, ModelLadder
from tests.support.models.scripted_models import ScriptedModel
from tests.support.patience import patience, until
from tools.registry import ToolError, make_tools, tool
from tools.threads import ToolThreads
from tools.toolbox import Tool

#: Backoffs that are over at once, and ones that outlast a test.
AT_ONCE: Limits = {**DEFAULT_LIMITS, "backoff": 0.0}
LONG: Limits = {**DEFAULT_LIMITS, "backoff": 600.0}


#: The tools of the first gates of each kind.
_shapes: "dict[type[Gates], Mapping[str, Tool]]" = {}


class Gates:
    """Tools whose calls stay open until they are told how to end; `calls` counts the begun ones."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.open = asyncio.Event()  # for the calls that cling
        self.unblock = threading.Event()
        self.threads = ToolThreads()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._graph: RunGraph | None = None
        self._executor: Executor | None = None

    def graph(
        self,
        storage: Storage,
        executor: Executor,
        ladder: ModelLadder | None,
        live: LiveRuns | None = None,
    ) -> RunGraph:
        """A graph over these tools; without models it is made once, since that takes a while."""
        self._executor = executor
        if ladder or self._graph is None:
            made = build_graph(
                self.tools,
                threads=self.threads,
                ladder=ladder,
                wait=self._wait,
                without_slot=self._without_slot,
                input_schema=Channels,
                audience=live,
            )
            self._graph = None if ladder else made
        else:
            made = self._graph
        return made.copy({"checkpointer": storage.saver, "store": storage.store})

    async def _wait(self, moment: float) -> float:
        assert self._executor is not None
        return await self._executor.wait_until(moment)

    @asynccontextmanager
    async def _without_slot(self) -> AsyncIterator[Paused]:
        assert self._executor is not None
        async with self._executor.without_slot() as paused:
            yield paused

    @property
    def waiting(self) -> list[str]:
        """The labels of the calls that are under way."""
        return list(self._waiting)

    def end(self, label: str, outcome: object = None) -> None:
        """Let a call return this, or raise it."""
        self._waiting[label].set_result(outcome)

    async def end_next(self, label: str) -> None:
        """Let a call return as soon as it is under way."""
        await until(lambda: label in self._waiting)
        self.end(label)

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """Of one shape in all tests: to make that takes most of what a tool takes to be made."""
        functions = [*self._gated(), *self._stubborn(), *self._quick()]
        if (shapes := _shapes.get(type(self))) is None:
            shapes = _shapes[type(self)] = make_tools(functions)
        return {
            name: shape.model_copy(update={"coroutine" if shape.coroutine else "func": function})
            for (name, shape), function in zip(shapes.items(), functions, strict=True)
        }

    def _gated(self) -> list[Any]:
        @tool("gate", in_doubt="retry", phrases=["gate {label}"])
        async def gate(label: str) -> Any:
            """Wait to be told how to end."""
            self.calls[label] += 1
            self._waiting[label] = asyncio.get_running_loop().create_future()
            try:
                outcome = await self._waiting[label]
            finally:
                del self._waiting[label]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return [gate]

    def _quick(self) -> list[Any]:
        @tool("pass", in_doubt="retry", phrases=["pass {label}"])
        async def pass_by(label: str) -> str:
            """Return at once."""
            self.calls[label] += 1
            return label

        @tool("stumble", in_doubt="retry", phrases=["stumble {label}"])
        async def stumble(label: str) -> str:
            """Fail at the first call, in a way that may pass."""
            self.calls[label] += 1
            if self.calls[label] == 1:
                raise ToolError("not yet", retryable=True)
            return label

        @tool("fail", in_doubt="retry", phrases=["fail {label}"])
        async def fail(label: str) -> None:
            """Fail for good."""
            self.calls[label] += 1
            raise ToolError("never", retryable=False)

        @tool("lose", phrases=["lose {label}"])
        async def lose(label: str) -> None:
            """Leave it open whether it has acted."""
            self.calls[label] += 1
            raise ConnectionResetError

        return [pass_by, stumble, fail, lose]

    def _stubborn(self) -> list[Any]:
        @tool("look", effects=False, phrases=["look {label}"])
        async def look(label: str) -> str:
            """Change nothing, for a long time."""
            self.calls[label] += 1
            await asyncio.sleep(600)
            return label

        @tool("block", in_doubt="retry", phrases=["block {label}"])
        def block(label: str) -> str:
            """Hold a thread until all are let go."""
            self.calls[label] += 1
            self.unblock.wait()
            return label

        @tool("cling", in_doubt="retry", phrases=["cling {label}"])
        async def cling(label: str) -> str:
            """Swallow every cancellation until all are let go."""
            self.calls[label] += 1
            while not self.open.is_set():
                try:
                    await self.open.wait()
                except asyncio.CancelledError:
                    continue
            return label

        return [look, block, cling]


@dataclass
class SilentModel(ScriptedModel):
    """Answers its script, then never again; `is_silent` once it is asked in vain."""

    is_silent: bool = False

    async def complete(self, messages: Any, schema: Any, *, timeout: float) -> Completion:
        if not self.script:
            self.is_silent = True
            await asyncio.Event().wait()
        return await super().complete(messages, schema, timeout=timeout)


@asynccontextmanager
async def process(
    storage: Storage,
    gates: Gates,
    *models: ScriptedModel,
    slots: int = 2,
    in_flight: int | None = None,
    model_calls: int = 32,
    model_timeout: float = 20.0,
    limits: Limits = AT_ONCE,
    orderly: bool = True,
    quotas: Quotas = NO_QUOTAS,
    answer: AnswerPolicy = "never",
) -> AsyncIterator[Runs]:
    """Runs as a process has them that was just started on this storage.

    As many runs are in flight as there are slots, unless it is said: calls of gates need none. A
    process that does not end in an orderly way has no chance to write anything at its end.
    """
    executor = Executor(slots=slots, in_flight=in_flight or slots, max_queued=1000)
    calls = ModelCalls(model_calls, executor.suspended)
    named = {model.name: model for model in models}
    breaker = CircuitBreaker((), threshold=100, pause=60.0)
    ladder = (
        ModelLadder(
            models=named,
            order=list(named),
            breaker=breaker,
            slots=calls,
            timeout=model_timeout,
            answer=answer,
        )
        if models
        else None
    )
    live = LiveRuns()
    graph = gates.graph(storage, executor, ladder, live)
    context = make_context(graph, storage, executor, gates.tools, gates.threads, live=live)
    runs = Runs(context, RunPolicy(limits, quotas=quotas), ladder, calls=calls)
    await runs.open(resume_unfinished=True)
    try:
        yield runs
    finally:
        await runs.deadlines.stop_sweeping()
        await (runs.close(grace=0.05) if orderly else executor.stop(grace=0))


async def resting(runs: Runs, prompt: str = "do it", approve: Approve = "never") -> Record:
    """The record of a new run once it has settled, or waits."""
    run_id = (await runs.start(prompt, approve=approve))["run_id"]
    return await runs.wait(run_id, timeout=patience(), owner=None)


async def rested(runs: Runs, run_id: str) -> Record:
    """The record of a run that has settled."""
    record = await runs.wait(run_id, timeout=patience(), owner="default")
    assert record["status"] in ("completed", "failed", "cancelled"), record
    return record


async def history(runs: Runs, run_id: str) -> list[RunState]:
    """Every state of a run that was stored, the first one first."""
    config: Any = {"configurable": {"thread_id": run_id}}
    states = [whole(snapshot.values) async for snapshot in runs.graph.aget_state_history(config)]
    return [state for state in reversed(states) if state]


async def told(runs: Runs, run_id: str) -> list[Event]:
    """The events of a run, after a check that at no time they were others.

    Those of every state that was ever stored are the beginning of those of the next one, the
    numbers have no gap, and the times never go back.
    """
    states = await history(runs, run_id)
    so_far: list[Event] = []
    for state in states:
        now = events(state)
        assert now[: len(so_far)] == so_far, (so_far, now)
        so_far = now
    assert [event["id"] for event in so_far] == list(range(1, len(so_far) + 1))
    times = [event["at"] for event in so_far]
    assert times == sorted(times), [(event["type"], event["at"]) for event in so_far]
    return so_far


def types(told: list[Event]) -> list[str]:
    """What happened, in order."""
    return [event["type"] for event in told]


async def start(runs: Runs, prompt: str, owner: str = "default") -> str:
    return (await runs.start(prompt, owner=owner))["run_id"]


async def row_status(storage: Storage, run_id: str) -> str:
    row = await storage.index.find(run_id)
    assert row is not None
    return row.status


def attempts(record: Record) -> list[tuple[int, int, str]]:
    return [(entry["step"], entry["attempt"], entry["status"]) for entry in record["execution_log"]]


async def assert_over(runs: Runs, storage: Storage, record: Record, gates: Gates) -> None:
    """The run is cancelled everywhere, says so once, and nothing of it goes on."""
    run_id, calls = record["run_id"], gates.calls.copy()
    assert record["status"] == "cancelled"
    assert record["error"] is not None
    assert record["error"]["type"] == "cancelled"
    assert record["completed_at"] is not None
    assert record["current"] is None
    assert record["actions"] == ["retry"]
    assert [mark["what"] for mark in record["marks"]].count("cancel") == 1
    seen = await told(runs, run_id)
    assert types(seen)[-2:] == ["run.cancelled", "end"]
    assert types(seen).count("run.cancelling") == 1
    await asyncio.sleep(0.05)
    assert gates.calls == calls
    assert await runs.get(run_id, owner="default") == record
    assert await row_status(storage, run_id) == "cancelled"
    assert await runs.cancel(run_id, by="another", owner="default") == record


def in_backoff(runs: Runs, run_id: str) -> bool:
    """Whether a run waits for its next attempt, or call of a model."""
    live = runs._context.live.get(run_id)
    return live is not None and live.backoff is not None
