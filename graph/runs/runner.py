"""Driving runs to their end: from their first checkpoint, or from where a crash has left them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from graph.build import RunGraph, recursion_limit
from graph.runs.cancellation import Cancellations
from graph.runs.context import Projection, RunContext
from graph.runs.quarantine import Quarantine
from graph.runs.reader import LiveRuns, thread
from graph.runs.recovery import (
    MAX_STARTS,
    begin,
    carry_out,
    fail,
    is_waiting,
    resume,
    resume_left,
    set_running,
    state_at,
)
from graph.state import RunState
from graph.state.row import RunRow, state_of

logger = logging.getLogger("runwright.runs")

#: Longest wait between two tries to go on while the storage does not answer, in seconds.
MAX_STORAGE_WAIT = 30.0

#: How long a cancellation or a decision is waited for, in seconds.
CANCEL_WAIT = 5.0


class Runner:
    """Executes runs for an executor: begun, resumed, decided about, retried or cancelled."""

    def __init__(self, context: RunContext, *, models: int = 0) -> None:
        self._models = models
        self._graph = context.graph
        self._storage = context.storage
        self._executor = context.executor
        self._live = context.live
        self._cancellations = Cancellations(context)
        self._projection = Projection(context.storage, context.live, context.broadcaster.publish)
        self._graph_runner = GraphRunner(context.graph, context.live, self._projection)
        self._draining = False
        self._answering: dict[str, asyncio.Future[None]] = {}
        self._recovery = Quarantine()

    def drain(self) -> None:
        """Let no run go on past the step that it is at."""
        self._draining = True
        self._graph_runner.drain()

    async def close(self) -> None:
        """Note that what has not ended was left in order, when nothing is executing any more."""
        while self._live.begun:
            run_id = self._live.begun.pop()
            # The storage may be what has failed; then the run counts as ended by a crash.
            with suppress(*self._storage.errors):
                await self._storage.index.note_start(run_id, starts=0, checkpoint_id=None)

    def expect(self, rows: Sequence[RunRow]) -> None:
        """Prepare to resume what an earlier process left: what may have ended it, alone."""
        for row in rows:
            if row.starts >= MAX_STARTS - 1:
                self._recovery.quarantine(row.run_id)

    async def cancel(self, run_id: str) -> None:
        """End the execution of a run that is marked as to be cancelled, and settle it.

        Returns when that is done. While the storage does not answer it returns after `CANCEL_WAIT`
        seconds, and the run is settled when it does.
        """
        execution = self._cancellations.begin(run_id)
        if execution is not None:
            await asyncio.wait([execution], timeout=CANCEL_WAIT)

    def hurry(self, run_id: str) -> bool:
        """End the wait for the next attempt of a run, or call of a model; whether it was in one."""
        state = self._live.states.get(run_id)
        if state is None or not self._executor.hurry(run_id):
            return False
        planning = state.get("planning")
        self._live.states[run_id] = {
            **state,
            "not_before": None,
            "planning": planning and {**planning, "not_before": None},
        }
        return True

    async def cancel_left(self, run_id: str) -> None:
        """Settle a run whose cancellation was asked for in a process that has ended."""
        self._cancellations.begin_left(run_id)
        await self.execute(run_id)

    async def decide(self, run_id: str) -> None:
        """Carry out the stored decision about the plan of a run.

        Returns when the run has taken its next status, for `CANCEL_WAIT` seconds at the longest. An
        approved run then goes on as soon as there is a slot.
        """
        while earlier := self._executor.execution(run_id):
            await asyncio.wait([earlier])  # it has just made the plan
        if self._draining:
            return  # it is carried out at the next start
        self._answering[run_id] = carried_out = asyncio.get_running_loop().create_future()
        self._executor.interrupt(run_id)
        await asyncio.wait([carried_out], timeout=CANCEL_WAIT)

    async def execute(self, run_id: str) -> None:
        """Drive a run until it is settled or waits, or the process ends; a settled run is left
        alone.

        While the storage does not answer it tries again, without a slot, for as long as it takes.
        """
        self._live.begun.add(run_id)
        try:
            await self._persist(run_id)
        finally:
            self._cancellations.forget(run_id)
            self._note_decided(run_id)
            self._recovery.forget(run_id)  # also one that was cancelled before it had a slot

    async def _persist(self, run_id: str) -> None:
        drive = self._resume if run_id in self._answering else self._advance
        drive = self._settle_cancelled if self._cancellations.is_cancelling(run_id) else drive
        delay = 0.0
        while True:
            try:
                if delay:
                    await self._executor.wait_until(time.time() + delay)
                state = await drive(run_id)
                if state is not None:
                    await self._projection.write(state)
                return
            except GraphDrained:
                # Its last step has ended, and no further node has told so.
                self._projection.publish(await state_at(self._graph, thread(run_id)))
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                cancelling = self._cancellations.is_cancelling(run_id)
                if not cancelling or drive == self._settle_cancelled or task is None:
                    raise
                task.uncancel()
                drive, delay = self._settle_cancelled, 0.0
            except self._storage.errors:
                logger.warning("storage does not answer", extra={"run_id": run_id}, exc_info=True)
                delay = min(max(delay * 2, 0.5), MAX_STORAGE_WAIT)
                drive = self._resume if drive == self._advance else drive
            except Exception:
                if drive == self._settle_broken:
                    raise
                logger.exception("run broke", extra={"run_id": run_id})
                drive = self._settle_broken

    async def _advance(self, run_id: str) -> RunState | None:
        """Begin or resume a run and drive it on; its state where that ended."""
        if row := self._live.accepted.pop(run_id, None):
            return await self._begin(row)
        if run_id in self._live.retried:
            self._live.retried.discard(run_id)
            return await self._resume(run_id)
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        async with self._recovery.slot(run_id) as end_slot:
            config = self._config(found)
            resumed = await resume_left(self._graph, self._storage.index, found, config)
            if resumed.next == "waiting":
                return await self._answer(found, config, resumed.state)
            if resumed.next == "settled":
                return resumed.state
            logger.info("run taken up", extra={"run_id": run_id})
            await set_running(self._graph, config, resumed.state)

            async def progressed() -> None:
                end_slot()
                await self._storage.index.note_start(run_id, starts=0, checkpoint_id=None)

            return await self._graph_runner.advance(config, progressed)

    async def _begin(self, row: RunRow) -> RunState | None:
        """Drive a run from its first checkpoint on; its state where that ended."""
        config, state = self._config(row), state_of(row)
        self._storage.expect_new(row.run_id)
        # The client that posted it and waits reads it now, and need not ask the storage.
        self._live.first[row.run_id] = state
        try:
            await begin(self._graph, config, state)
            await set_running(self._graph, config, state)
            return await self._graph_runner.advance(config)
        finally:
            del self._live.first[row.run_id]

    async def _resume(self, run_id: str) -> RunState | None:
        """Go on with a run of this process: decided about, retried, or its storage had failed."""
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        config = self._config(found)
        resumed = await resume(self._graph, found, config)
        if resumed.next == "waiting":
            return await self._answer(found, config, resumed.state)
        if resumed.next == "settled":
            return resumed.state
        await set_running(self._graph, config, resumed.state)
        return await self._graph_runner.advance(config)

    async def _answer(
        self, row: RunRow, config: RunnableConfig, state: RunState
    ) -> RunState | None:
        """Go on with a waiting run if somebody has decided; its state where that ended."""
        run_id = row.run_id
        self._live.states[run_id] = state
        try:
            state = await carry_out(self._graph, self._storage.index, row, config, state)
            if is_waiting(state):
                return state
            if state["status"] == "running":
                self._live.states[run_id] = state
                await self._projection.write(state)
                self._note_decided(run_id)
                if not self._executor.holds_slot(run_id):
                    await self._executor.wait_until(time.time())
            return await self._graph_runner.advance(config)
        finally:
            self._live.states.pop(run_id, None)

    def _note_decided(self, run_id: str) -> None:
        carried_out = self._answering.pop(run_id, None)
        if carried_out is not None and not carried_out.done():
            carried_out.set_result(None)

    async def _settle_cancelled(self, run_id: str) -> RunState | None:
        # A write of the execution that was cut off may still be on its way.
        await self._storage.index.check()
        found = await self._storage.index.find(run_id)
        self._live.accepted.pop(run_id, None)
        self._live.retried.discard(run_id)
        if found is None:
            return None
        return await self._cancellations.settle(found, self._config(found))

    async def _settle_broken(self, run_id: str) -> RunState | None:
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        reason = f"an internal error; the server's log has it under run {run_id}"
        return await fail(self._graph, found, self._config(found), reason)

    def _config(self, row: RunRow) -> RunnableConfig:
        limit = recursion_limit(row.limits, models=self._models)
        return thread(row.run_id) | RunnableConfig(recursion_limit=limit)


#: The key under which LangGraph tells with a state that a node waits for an answer.
INTERRUPT = "__interrupt__"


class GraphRunner:
    """Lets the graph go on with runs, and shows each of their states once it is stored."""

    def __init__(self, graph: RunGraph, live: LiveRuns, projection: Projection) -> None:
        self._graph = graph
        self._live = live
        self._projection = projection
        self._control = RunControl()

    def drain(self) -> None:
        """Let no run go on past the step that it is at; it raises `GraphDrained` then."""
        self._control.request_drain()

    async def advance(
        self, config: RunnableConfig, progressed: Callable[[], Awaitable[None]] | None = None
    ) -> RunState | None:
        """Let the graph go on from its last checkpoint until it ends; the state there.

        `progressed` is called once, when there is a new checkpoint.
        """
        latest: RunState | None = None
        announced = False
        try:
            parts = self._graph.astream(
                None,
                config,
                stream_mode=["values", "tasks"],
                durability="sync",
                control=self._control,
            )
            async for mode, part in parts:
                if mode == "values":
                    if INTERRUPT in part:
                        continue  # the state before it, told again
                    latest = cast("RunState", part)
                elif latest and "result" not in part and latest["status"] == "running":
                    # A node begins: by now the state before it is stored, and may be shown.
                    self._live.states[latest["run_id"]] = latest
                    if not announced:
                        announced = True
                        await self._projection.write(latest)
                        continue
                    self._projection.publish(latest)
                    if progressed is not None:
                        await progressed()
                        progressed = None
            return latest
        finally:
            self._live.states.pop(config["configurable"]["thread_id"], None)
