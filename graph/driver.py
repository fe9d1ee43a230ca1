"""Driving runs to their end: from their first checkpoint, or from where a crash has left them."""

import asyncio
import logging
import time
from contextlib import nullcontext, suppress
from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from graph.build import RunGraph, recursion_limit
from graph.executor import Executor
from graph.index import RunRow
from graph.record import state_of
from graph.state import RunState
from graph.status import SETTLED
from graph.storage import Storage
from graph.take_up import MAX_STARTS, fail, resume, take_up

logger = logging.getLogger("runwright.runs")

#: Longest wait between two tries to go on while the storage does not answer, in seconds.
MAX_STORAGE_WAIT = 30.0


class Driver:
    """Executes runs for an executor, and knows how those stand that it executes."""

    def __init__(
        self, graph: RunGraph, storage: Storage, executor: Executor, *, models: int = 0
    ) -> None:
        self._models = models
        self._graph = graph
        self._storage = storage
        self._executor = executor
        self._control = RunControl()
        self._begun: set[str] = set()  # not settled yet
        self._suspects = asyncio.Lock()
        #: Accepted here and not begun.
        self.accepted: dict[str, RunRow] = {}
        #: Executing here, as last stored.
        self.live: dict[str, RunState] = {}

    def drain(self) -> None:
        """Let no run go on past the step that it is at."""
        self._control.request_drain()

    async def close(self) -> None:
        """Note that what has not ended was left in order, when nothing is executing any more."""
        for run_id in self._begun:
            # The storage may be what has failed; then the run counts as ended by a crash.
            with suppress(*self._storage.errors):
                await self._storage.index.note_start(run_id, starts=0, checkpoint_id=None)

    async def execute(self, run_id: str) -> None:
        """Drive a run until it is settled or the process ends; a settled run is left alone.

        While the storage does not answer it tries again, without a slot, for as long as it takes.
        """
        attempt = self._advance
        delay = 0.5
        self._begun.add(run_id)
        while True:
            try:
                state = await attempt(run_id)
                if state is not None:
                    await self._project(state)
                return
            except GraphDrained:
                return
            except self._storage.errors:
                logger.warning("storage does not answer", extra={"run_id": run_id}, exc_info=True)
                await self._executor.wait_until(time.time() + delay)
                delay = min(delay * 2, MAX_STORAGE_WAIT)
                attempt = self._resume if attempt == self._advance else attempt
            except Exception:
                if attempt == self._settle_broken:
                    raise
                logger.exception("run broke", extra={"run_id": run_id})
                attempt = self._settle_broken

    async def _advance(self, run_id: str) -> RunState | None:
        """Begin or take up a run and drive it on; its state where that ended."""
        if row := self.accepted.pop(run_id, None):
            config = self._config(row)
            self._storage.expect_new(run_id)
            await self._graph.aupdate_state(config, state_of(row), as_node="__start__")
            return await self._drive(config)
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        # What may have ended the process goes on alone, so that it takes no other with it.
        suspect = found.starts >= MAX_STARTS - 1
        async with self._suspects if suspect else nullcontext():
            config = self._config(found)
            taken = await take_up(self._graph, self._storage.index, found, config)
            if taken.next == "settled":
                return taken.state
            logger.info("run taken up", extra={"run_id": run_id})
            return await self._drive(config)

    async def _resume(self, run_id: str) -> RunState | None:
        """Go on with a run of this process after its storage had failed."""
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        config = self._config(found)
        resumed = await resume(self._graph, found, config)
        return resumed.state if resumed.next == "settled" else await self._drive(config)

    async def _drive(self, config: RunnableConfig) -> RunState | None:
        """Let the graph go on from its last checkpoint until it ends."""
        latest: RunState | None = None
        announced = False
        try:
            async for mode, part in self._graph.astream(
                None,
                config,
                stream_mode=["values", "tasks"],
                durability="sync",
                control=self._control,
            ):
                if mode == "values":
                    latest = cast("RunState", part)
                elif latest and "result" not in part and latest["status"] == "running":
                    # A node begins: by now the state before it is stored, and may be shown.
                    self.live[latest["run_id"]] = latest
                    if not announced:
                        announced = True
                        await self._project(latest)
            return latest
        finally:
            self.live.pop(config["configurable"]["thread_id"], None)

    async def _project(self, state: RunState) -> None:
        status = state["status"]
        changed = await self._storage.index.project(
            state["run_id"],
            status,
            started_at=state["started_at"],
            completed_at=state["completed_at"],
        )
        if status in SETTLED:
            self._begun.discard(state["run_id"])
        if changed:
            error = state["error"] if status in SETTLED else None
            logger.info(
                "run %s",
                status,
                extra={"run_id": state["run_id"], "error": error and error["type"]},
            )

    async def _settle_broken(self, run_id: str) -> RunState | None:
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        reason = f"an internal error; the server's log has it under run {run_id}"
        return await fail(self._graph, found, self._config(found), reason)

    def _config(self, row: RunRow) -> RunnableConfig:
        return {
            "configurable": {"thread_id": row.run_id},
            "recursion_limit": recursion_limit(row.limits, models=self._models),
        }
