"""Every metric, with its labels, and what is counted: stored states of runs, and the event loop.

No label names a run, an owner or a prompt. Counters and histograms count from the start of the
process, as Prometheus expects; gauges are set when they are asked for. Times are in seconds, as is
the custom there.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from graph.runs.live import Observe
from graph.state import PlanningCall, RunState, ended_at
from graph.state.status import SETTLED

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram


#: What answers are declared as.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: How many names of one kind are told apart: tools come and go with their servers.
MOST_NAMES = 300

#: What stands for all others.
OTHER = "other"

#: What a request, a statement and a step may take, and a run or a wait for a person.
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_MIDDLE = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400)


class Names:
    """The first so many names of a kind; the rest is one."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, name: str) -> str:
        """The name, or `other` where there are too many already."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        # Only a server has metrics, and what makes them takes its time to load.
        from prometheus_client import CollectorRegistry, disable_created_metrics
        from prometheus_client.gc_collector import GCCollector
        from prometheus_client.platform_collector import PlatformCollector
        from prometheus_client.process_collector import ProcessCollector

        # The start of the process says since when all of them count.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs
        self.registry = CollectorRegistry()
        self.names = Names()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        # Runs
        self.runs = self._gauge("runs", "Runs that are not settled, by status.", "status")
        self.accepted = self._counter("runs_accepted", "Runs and forks that were accepted.")
        self.retried = self._counter("runs_retried", "Retries of runs.")
        self.settled = self._counter(
            "runs_settled", "Runs that came to their end, by status and error.", "status", "error"
        )
        self.run_seconds = self._histogram(
            "run_seconds", "From acceptance or retry to the end.", _LONG, "status"
        )
        self.queue_seconds = self._histogram(
            "run_queue_seconds", "From acceptance to the first checkpoint.", _LONG
        )

        # The queue
        self.queued = self._gauge("queue_runs", "Runs that wait for their beginning.")
        self.oldest = self._gauge("queue_oldest_seconds", "How long the oldest of them waits.")
        self.in_flight = self._gauge("in_flight_runs", "Runs that were begun and are not at rest.")
        self.max_in_flight = self._gauge("in_flight_runs_max", "How many may be.")
        self.slots_used = self._gauge("slots_used", "Runs that compute.")
        self.slots = self._gauge("slots", "How many may compute at once.")
        self.backoff = self._gauge("backoff_runs", "Runs that wait for their next attempt.")

        # Steps and people
        self.attempts = self._counter(
            "step_attempts", "Attempts at steps, by tool and outcome.", "tool", "outcome"
        )
        self.step_seconds = self._histogram(
            "step_seconds", "How long an attempt took.", _MIDDLE, "tool"
        )
        self.marks = self._counter(
            "run_marks", "What came to runs from outside: crashes, orders, decisions.", "what"
        )

        # Models
        labels = ("model", "purpose", "outcome")
        self.model_calls = self._counter("model_calls", "Calls of models that have ended.", *labels)
        self.model_seconds = self._histogram(
            "model_call_seconds", "How long a call took.", _MIDDLE, "model"
        )
        self.model_tokens = self._counter(
            "model_tokens", "Tokens of calls whose provider tells them.", "model", "direction"
        )
        self.model_usd = self._counter(
            "model_usd", "US dollars of calls whose price is known.", "model"
        )
        self.planning_seconds = self._histogram(
            "planning_seconds", "How long a planner took.", _MIDDLE, "planner"
        )
        self.model_in_flight = self._gauge("model_calls_in_flight", "Calls under way.", "model")
        self.model_queued = self._gauge("model_calls_queued", "Calls that wait.", "model")
        self.model_state = self._gauge(
            "model_state", "1 for the state that its breaker has the model in.", "model", "state"
        )

        # Beside runs
        self.servers = self._gauge(
            "mcp_server_up", "Whether the session of an MCP server is open.", "server"
        )
        self.watchers = self._gauge("watchers", "Who watches a run or all.")
        self.http = self._counter(
            "http_requests", "Requests, by route, method and status.", "route", "method", "status"
        )
        self.http_seconds = self._histogram(
            "http_request_seconds", "Until an answer began.", _SHORT, "route"
        )
        self.write_seconds = self._histogram(
            "storage_write_seconds", "How long a transaction of the storage took.", _SHORT
        )
        self.storage_bytes = self._gauge(
            "storage_bytes", "Bytes of the database and of its log of writes.", "part"
        )
        self.loop_lag = self._histogram(
            "loop_lag_seconds", "How late the event loop does what is due, twice a second.", _SHORT
        )
        self.heartbeat = self._gauge(
            "heartbeat_timestamp_seconds", "When the event loop was last seen to turn."
        )
        self.spans = self._counter(
            "spans", "Spans of traces: exported, failed at that, or dropped.", "outcome"
        )
        self.webhooks = self._counter("webhooks", "Attempts to post, by outcome.", "outcome")
        self.faults = self._counter("observer_faults", "States that could not be counted.")

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def _counter(self, name: str, words: str, *labels: str) -> "Counter":
        from prometheus_client import Counter

        counter = Counter(f"runwright_{name}", words, labels, registry=self.registry)
        return _remembering(counter)

    def _gauge(self, name: str, words: str, *labels: str) -> "Gauge":
        from prometheus_client import Gauge

        return Gauge(f"runwright_{name}", words, labels, registry=self.registry)

    def _histogram(
        self, name: str, words: str, buckets: Iterable[float], *labels: str
    ) -> "Histogram":
        from prometheus_client import Histogram

        histogram = Histogram(
            f"runwright_{name}", words, labels, buckets=(*buckets,), registry=self.registry
        )
        return _remembering(histogram)


#: A metric that is counted or observed.
M = TypeVar("M", "Counter", "Histogram")


def _remembering(metric: M) -> M:
    """The metric, which finds the one with the same labels without its lock: none is removed."""
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]
    return metric


# How late the event loop is: what holds it up keeps everybody waiting.


#: How often it is looked at, in seconds.
EVERY = 0.5


@asynccontextmanager
async def measuring(metrics: Metrics | None, every: float = EVERY) -> AsyncIterator[None]:
    """Look at it for as long as the context lasts, where there are metrics."""
    if metrics is None:
        yield
        return
    task = asyncio.create_task(_measure(metrics, every))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _measure(metrics: Metrics, every: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        metrics.heartbeat.set(time.time())
        due = loop.time() + every
        await asyncio.sleep(every)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))


# What is counted of runs: each state once it is stored.


logger = logging.getLogger("runwright.metrics")


@dataclass(slots=True)
class _Counted:
    """How much of a run is counted: entries of its two logs."""

    logged: int
    planned: int


class RunObserver:
    """Is shown each state of a run once it is stored, and counts what is new in it.

    Of a run that it has not seen before it counts what happened after `since`, in epoch seconds:
    an earlier process has counted the rest.
    """

    def __init__(self, metrics: Metrics, *, since: float | None = None) -> None:
        self._metrics = metrics
        self._since = time.time() if since is None else since
        self._runs: dict[str, _Counted] = {}

    @property
    def followed(self) -> int:
        """Of how many runs it knows what is counted."""
        return len(self._runs)

    def __call__(self, state: RunState) -> None:
        """Count what is new."""
        log, planning = state.get("log", []), state["planning_log"]
        run_id, status = state["run_id"], state["status"]
        if status == "pending":
            # What it brings along, from its origin or its earlier generation, is counted there.
            retried = state["generation"] and not state["forked_from"]
            (self._metrics.retried if retried else self._metrics.accepted).inc()
            if log or planning:
                self._runs[run_id] = _Counted(len(log), len(planning))
            return
        counted = self._runs.get(run_id)
        if counted is None:
            counted = self._runs[run_id] = _Counted(
                _before(log, self._since), _before(planning, self._since)
            )
            if not (counted.logged or counted.planned) and state["started_at"]:
                waited = state["started_at"] - state["created_at"]
                self._metrics.queue_seconds.observe(max(0.0, waited))
        for entry in log[counted.logged :]:
            self._count_entry(entry)
        for call in planning[counted.planned :]:
            self._count_call(call)
        counted.logged, counted.planned = len(log), len(planning)
        if status in SETTLED:
            del self._runs[run_id]
            self._count_end(state)

    def _count_entry(self, entry: Mapping[str, Any]) -> None:
        if entry["kind"] == "mark":
            self._metrics.marks.labels(entry["what"]).inc()
            return
        tool = self._metrics.names.bounded(entry["tool"])
        self._metrics.attempts.labels(tool, entry["status"]).inc()
        self._metrics.step_seconds.labels(tool).observe(entry["duration_ms"] / 1000)

    def _count_call(self, call: PlanningCall) -> None:
        metrics, seconds = self._metrics, call["duration_ms"] / 1000
        metrics.planning_seconds.labels(call["planner"]).observe(seconds)
        if call["model"] is None:
            return
        model = metrics.names.bounded(call["model"])
        metrics.model_calls.labels(model, call.get("purpose", "plan"), call["outcome"]).inc()
        if call["outcome"] == "skipped":
            return
        metrics.model_seconds.labels(model).observe(seconds)
        metrics.model_tokens.labels(model, "read").inc(call["input_tokens"] or 0)
        metrics.model_tokens.labels(model, "written").inc(call["output_tokens"] or 0)
        metrics.model_usd.labels(model).inc(call["usd"] or 0)

    def _count_end(self, state: RunState) -> None:
        status, error = state["status"], state["error"]
        ended = state["completed_at"]
        if ended is None or ended < self._since:
            return  # an earlier process has counted it
        self._metrics.settled.labels(status, error["type"] if error else "").inc()
        self._metrics.run_seconds.labels(status).observe(max(0.0, ended - _begun(state)))


def together(observers: Sequence[Observe], metrics: Metrics | None) -> Observe:
    """One observer that shows each state to all that are in the list by then.

    A fault of theirs never reaches the run; it is counted, where there are metrics, and logged.
    """

    def observe(state: RunState) -> None:
        for one in observers:
            try:
                one(state)
            except Exception:
                if metrics:
                    metrics.faults.inc()
                logger.exception("a run was not observed", extra={"run_id": state.get("run_id")})

    return observe


def _begun(state: RunState) -> float:
    """Since when the run was on its way to this end: its acceptance, or its last retry."""
    retries = [mark["at"] for mark in state.get("log", []) if mark.get("what") == "retry"]
    return retries[-1] if retries else state["created_at"]


def _before(entries: Sequence[Any], moment: float) -> int:
    """How many of the first entries were over by a moment."""
    for number, entry in enumerate(entries):
        if (entry["at"] if entry.get("kind") == "mark" else ended_at(entry)) >= moment:
            return number
    return len(entries)
