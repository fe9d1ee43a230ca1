"""What is seen of runs while they go on: their states are counted, their log lines name them."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.queue.executor import CURRENT
from graph.record.generations import trace_id_of
from graph.runs.live import LiveRun, Observe
from graph.state import PlanningCall, RunState, ended_at
from graph.state.status import SETTLED
from graph.telemetry.metrics import Metrics

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


# Which run a line of the log is about, and in which trace that is.


class AboutRuns(logging.Filter):
    """Adds `run_id` and `trace_id` to every line that is logged while a run is executed.

    Also to those of its tools, models and threads; what a line says itself stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by the handler; always true."""
        job = CURRENT.get(None)
        if isinstance(job, LiveRun) and getattr(record, "run_id", job.run_id) == job.run_id:
            record.run_id = job.run_id
            if not hasattr(record, "trace_id"):
                seen = None if job.trace_id else job.seen
                record.trace_id = trace_id_of(seen) if seen else job.trace_id
        return True
