"""How the server does: its storage, models, runs and tools' servers, and the metrics of all."""

import asyncio
import time
from collections.abc import Callable, Mapping

from graph.queue.executor import Executor
from graph.queue.fair import Load
from graph.queue.model_calls import ModelCalls
from graph.queue.worker import LEASE
from graph.runs.context import RunContext
from graph.state.status import UNSETTLED
from graph.storage.storage import Storage, Unsettled
from graph.telemetry.metrics import Metrics
from nodes.planning.model import ModelLadder

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


#: How each MCP server does, by its name.
Servers = Callable[[], Mapping[str, Mapping[str, object]]]


class Health:
    """Looks at the storage when it is asked, and at what the last calls of the models told."""

    def __init__(
        self,
        storage: Storage,
        executor: Executor,
        ladder: ModelLadder | None,
        calls: ModelCalls | None,
        servers: Servers = dict,
    ) -> None:
        self._storage = storage
        self._executor = executor
        self._ladder = ladder
        self._calls = calls or ModelCalls(1)
        self._servers = servers

    def runs(self, owner: str | None) -> Load:
        """How many runs of the owner are under way and how many wait."""
        return self._executor.load(owner)

    def models(self, owner: str | None) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does, and how many calls for the owner are under way and wait
        for their turn; empty without models."""
        states = self._ladder.breaker.state() if self._ladder else {}
        loads = {name: self._calls.load(name, owner) for name in states}
        return {
            name: {**state, "calls": loads[name][0], "queued": loads[name][1]}
            for name, state in states.items()
        }

    def servers(self) -> Mapping[str, Mapping[str, object]]:
        """How each MCP server does that the operator's file names."""
        return self._servers()

    async def workers(self) -> int | None:
        """How many processes execute the runs of a database that is shared, else None.

        Raises `StorageUnavailable`.
        """
        if self._storage.fleet is None:
            return None
        with self._storage.available():
            return await self._storage.fleet.jobs.workers(LEASE)

    async def storage(self) -> dict[str, object]:
        """The backend, whether it can be read and written just now, and what is to be done if it
        is damaged."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.check()
            writable = True
        except unavailable as error:
            self._storage.faults.tell(error)
            writable = False
        state: dict[str, object] = {"backend": self._storage.backend, "writable": writable}
        if damage := self._storage.faults.damage:
            state |= {"writable": False, "damage": damage}
        return state


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
