"""One answer to Prometheus: what was counted, and how everything stands just now."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from graph.queue.model_calls import ModelCalls
from graph.runs.context import RunContext
from graph.runs.health import Servers
from graph.state.status import UNSETTLED
from graph.storage.storage import Unsettled
from graph.telemetry.metrics import Metrics
from nodes.planning.model import ModelLadder


class Scrape:
    """Sets the gauges of one process and writes all metrics."""

    def __init__(
        self,
        metrics: Metrics,
        context: RunContext,
        ladder: ModelLadder | None = None,
        calls: ModelCalls | None = None,
        servers: Servers = dict,
    ) -> None:
        self.metrics = metrics
        self._context = context
        self._ladder = ladder
        self._calls = calls
        self._servers = servers

    async def text(self) -> bytes:
        """In Prometheus' text format; where the storage does not answer, without what it has."""
        metrics, storage = self.metrics, self._context.storage
        self._set_queue()
        try:
            if storage.fleet:
                metrics.queued.inc(await storage.fleet.jobs.waiting(due=True))
            self._set_runs(await storage.index.count_unsettled())
            for part, size in storage.sizes().items():
                metrics.storage_bytes.labels(part).set(size)
        except storage.errors as error:
            storage.faults.tell(error)
        self._set_models()
        for name, server in self._servers().items():
            metrics.servers.labels(metrics.names.bounded(name)).set(server["state"] == "ok")
        return metrics.text()

    def _set_runs(self, found: Unsettled) -> None:
        for status in UNSETTLED:
            self.metrics.runs.labels(status).set(found.counts.get(status, 0))
        oldest = found.oldest
        self.metrics.oldest.set(0 if oldest is None else max(0.0, time.time() - oldest))

    def _set_queue(self) -> None:
        metrics, load = self.metrics, self._context.executor.load()
        metrics.queued.set(load["queued"])
        metrics.in_flight.set(load["in_flight"])
        metrics.max_in_flight.set(load["max_in_flight"])
        metrics.slots_used.set(load["executing"])
        metrics.slots.set(load["max_executing"])
        metrics.backoff.set(load["backoff"])
        metrics.watchers.set(self._context.broadcaster.watchers)

    def _set_models(self) -> None:
        states: Mapping[str, Mapping[str, object]] = {}
        if self._ladder:
            states = self._ladder.breaker.state()
        for name, state in states.items():
            for one in ("ok", "open", "misconfigured"):
                self.metrics.model_state.labels(name, one).set(state["state"] == one)
            if self._calls:
                under_way, waiting = self._calls.load(name)
                self.metrics.model_in_flight.labels(name).set(under_way)
                self.metrics.model_queued.labels(name).set(waiting)


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
