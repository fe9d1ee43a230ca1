"""Driving runs to their end: from their first checkpoint, or from where a crash has left them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from graph.build import RunGraph, recursion_limit
from graph.record.generations import trace_id_of
from graph.runs.cancellation import Cancellations
from graph.runs.context import RunContext
from graph.runs.live import Cancellation, LiveRun, Reason
from graph.runs.recovery import (
    MAX_STARTS,
    Projection,
    Resumed,
    begin,
    carry_out,
    fail,
    is_waiting,
    resume,
    resume_left,
    set_running,
    thread,
)
from graph.runs.threads import Quarantine
from graph.state import Channels, RunState, split, without_wait
from graph.state.row import RunRow, state_of
from graph.storage.fleet import LeaseLost
from graph.storage.storage import Follower, RunSaver

logger = logging.getLogger("runwright.runs")

#: Longest wait between two tries to go on while the storage does not answer, in seconds.
MAX_STORAGE_WAIT = 30.0

#: How long a cancellation or a decision is waited for, in seconds.
CANCEL_WAIT = 5.0

#: Why a run is driven, or that the storage has failed meanwhile, or the run itself.
Drive = Reason | Literal["interrupted", "broken"]


class Runner:
    """Executes runs for an executor: begun, resumed, decided about, retried or cancelled."""

    def __init__(self, context: RunContext, *, models: int = 0) -> None:
        self._models = models
        self._tools = context.tools
        self._graph = context.graph
        self._storage = context.storage
        self._executor = context.executor
        self._runs = context.live
        self._cancellations = Cancellations(context)
        self._projection = Projection(context.storage, context.live, context.broadcaster.publish)
        self._graph_runner = GraphRunner(context.graph, context.storage.saver, self._projection)
        self._thread_queues, self._conversations = context.thread_queues, context.conversations
        self._draining = False
        # In a fleet the process counts, too, that was the first to get to where the run is.
        self._first = int(context.storage.fleet is not None)
        self._quarantine = Quarantine(context.live)

    def drain(self) -> None:
        """Let no run go on past the step that it is at."""
        self._draining = True
        self._graph_runner.drain()

    async def close(self) -> None:
        """Note that what has not ended was left in order, when nothing is executing any more."""
        await self._thread_queues.close()
        for live in self._runs:
            if live.unsettled:
                live.unsettled = False
                # The storage may be what has failed; then the run counts as ended by a crash.
                with suppress(*self._storage.errors):
                    await self._storage.index.note_start(live.run_id, starts=0, checkpoint_id=None)
                self._runs.release(live)

    def enqueue_unfinished(self, row: RunRow, *, is_head: bool) -> None:
        """Let a run go on that an earlier process left: one that may have ended it, alone."""
        live = self._runs.of(row.run_id)
        live.reason = "recovered"
        if not is_head:
            self._thread_queues.park(live, row.owner, row.thread)
        elif row.starts >= MAX_STARTS - 1 - self._first:
            self._quarantine.quarantine(live)
            # Behind none of those that wait for it, which may have all places: they take turns.
            live.owner = row.owner
            self._thread_queues.begin(live, row.thread)
            self._executor.interrupt(live)
        else:
            self._thread_queues.enqueue_head(live, row)

    # Orders: each was stored before, and is carried out here.

    async def cancel(self, run_id: str) -> None:
        """End the execution of a run that is marked as to be cancelled, and settle it.

        Returns when that is done. While the storage does not answer it returns after `CANCEL_WAIT`
        seconds, and the run is settled when it does.
        """
        execution = self._cancellations.begin(self._runs.of(run_id))
        await asyncio.wait([execution], timeout=CANCEL_WAIT)

    async def decide(self, run_id: str) -> None:
        """Carry out the stored decision about the plan of a run.

        Returns when the run has taken its next status, for `CANCEL_WAIT` seconds at the longest. An
        approved run is then resumed as soon as there is a slot.
        """
        live = self._runs.of(run_id)
        while live.task:
            await asyncio.wait([live.task])  # it has just made the plan
            live = self._runs.of(run_id)
        if self._draining:
            self._runs.release(live)
            return  # it is carried out at the next start
        live.reason = "decided"
        live.carried_out = carried_out = asyncio.get_running_loop().create_future()
        self._executor.interrupt(live)
        await asyncio.wait([carried_out], timeout=CANCEL_WAIT)

    async def hurry(self, run_id: str) -> bool:
        """End the wait for the next attempt of a run, or call of a model; whether it was in one."""
        live = self._runs.get(run_id)
        if live is None or live.state is None or not self._executor.hurry(live):
            return False
        live.state = without_wait(live.state)
        return True

    # Execution.

    async def execute(self, run_id: str) -> None:
        """Drive a run until it is settled or waits, or the process ends; a settled run is left
        alone.

        While the storage does not answer it tries again, without a slot, for as long as it takes.
        """
        live = self._runs.of(run_id)
        live.unsettled = True
        try:
            await self._persist(live)
        finally:
            live.reason = live.row = live.cancellation = None
            self._end_wait(live)
            if live.quarantined:
                self._quarantine.forget(live)  # also one that was cancelled before it had a slot
            self._thread_queues.end(live)
            self._runs.release(live)

    async def _persist(self, live: LiveRun) -> None:
        reason: Drive = live.reason or "recovered"
        delay = 0.0
        while True:
            try:
                await self._sit_out(delay)
                if state := await self._drive(live, reason):
                    await self._projection.write(state)
                return
            except GraphDrained:
                return  # after a checkpoint, which was told
            except LeaseLost:
                raise  # who has the run continues it, from what is stored
            except asyncio.CancelledError:
                if reason == "cancelling" or not _is_ordered(live):
                    raise
                reason, delay = "cancelling", 0.0
            except self._storage.errors as error:
                self._storage.faults.tell(error)
                delay = min(max(delay * 2, 0.5), MAX_STORAGE_WAIT)
                reason = "interrupted" if reason in ("new", "recovered") else reason
            except Exception:
                if reason == "broken":
                    raise
                logger.exception("run broke", extra={"run_id": live.run_id})
                reason = "broken"

    async def _sit_out(self, delay: float) -> None:
        if delay:
            await self._executor.wait_until(time.time() + delay)

    async def _drive(self, live: LiveRun, reason: Drive) -> RunState | None:
        """Bring a run to where it settles or waits; its state there, None where it is gone."""
        if reason == "new" and live.row:
            return await self._begin(live, live.row)
        if reason == "cancelling":
            # A write of the execution that was cut off may still be on its way.
            await self._storage.check()
        row = await self._storage.index.find(live.run_id)
        live.row = None
        if row is None:
            return None
        live.thread_id = live.thread_id or row.thread  # it may be that nobody has queued it
        live.owner = live.owner or row.owner
        config = self._config(row)
        if reason == "recovered" and row.cancel_at is not None:
            reason = "cancelling"  # ordered in a process that has ended
        match reason:
            case "new":
                return await self._begin(live, row)
            case "cancelling":
                cancellation = live.cancellation or Cancellation(begun=True)
                return await self._cancellations.settle(cancellation, row, config)
            case "broken":
                words = f"an internal error; the server's log has it under run {live.run_id}"
                return await fail(self._graph, row, config, words)
            case "retried" | "decided" | "interrupted":
                resumed = await resume(self._graph, row, config)
                return await self._continue(live, row, resumed)
            case _:
                return await self._recover(live, row)

    async def _begin(self, live: LiveRun, row: RunRow) -> RunState | None:
        """Drive a run that was just accepted."""
        config = self._config(row)
        state = await self._conversations.placed(row, state_of(row))
        # The client that posted it and waits reads it now, and need not ask the storage.
        live.state, live.row, live.trace_id = state, None, trace_id_of(state)
        new = row.seed is None
        try:
            if not new:
                await begin(self._graph, config, state)
                state = await set_running(self._graph, config, state)
            return await self._graph_runner.advance(live, config, row, state, new=new)
        finally:
            live.state = None

    async def _recover(self, live: LiveRun, row: RunRow) -> RunState | None:
        """Drive a run on that another process left, beside few others until it gets further."""
        async with self._quarantine.slot(live, self._executor.without_slot) as end_slot:
            config = self._config(row)
            resumed = await resume_left(self._graph, self._storage.index, row, config, self._first)
            live.trace_id = trace_id_of(resumed.state)
            if resumed.next == "drive":
                logger.info("run taken up", extra={"run_id": live.run_id})

            async def progressed() -> None:
                end_slot()
                await self._storage.index.note_start(live.run_id, starts=0, checkpoint_id=None)

            return await self._continue(live, row, resumed, progressed)

    async def _continue(
        self,
        live: LiveRun,
        row: RunRow,
        resumed: Resumed,
        progressed: Callable[[], Awaitable[None]] | None = None,
    ) -> RunState | None:
        """Drive a run on from where it stands; `progressed` is called at its first checkpoint."""
        config = self._config(row)
        live.trace_id = trace_id_of(resumed.state)
        match resumed.next:
            case "settled":
                return resumed.state
            case "waiting":
                return await self._answer(live, row, resumed.state)
            case "drive":
                state = await self._placed(row, config, resumed)
                state = await set_running(self._graph, config, state)
                return await self._graph_runner.advance(
                    live, config, row, state, new=resumed.new, progressed=progressed
                )

    async def _placed(self, row: RunRow, config: RunnableConfig, resumed: Resumed) -> RunState:
        """The state of a run that continues, with what went before in its thread."""
        state = resumed.state
        if not resumed.new and (state["status"] != "pending" or state["planning_log"]):
            return state  # it began with it, or without
        placed = await self._conversations.placed(row, state)
        if placed is not state and not resumed.new:  # it was cancelled before it began
            update = split({"conversation": placed["conversation"]})
            await self._graph.aupdate_state(config, update, as_node="__start__")
        return placed

    async def _answer(self, live: LiveRun, row: RunRow, state: RunState) -> RunState | None:
        """Drive a waiting run on if somebody has decided about it."""
        config = self._config(row)
        live.state = state
        try:
            state = await carry_out(self._graph, self._storage.index, row, config, state)
            if is_waiting(state):
                return state
            if state["status"] == "running":
                live.state = state
                await self._projection.write(state)
                self._end_wait(live)
                if not live.holds_slot:
                    await self._executor.wait_until(time.time())
            return await self._graph_runner.advance(live, config, row, state)
        finally:
            live.state = None

    def _end_wait(self, live: LiveRun) -> None:
        """Tell who waits for a decision that it is carried out, or will not be."""
        carried_out, live.carried_out = live.carried_out, None
        if carried_out is not None and not carried_out.done():
            carried_out.set_result(None)

    def _config(self, row: RunRow) -> RunnableConfig:
        limit = recursion_limit(row.limits, self._tools.values(), models=self._models)
        return thread(row.run_id) | RunnableConfig(recursion_limit=limit)


def _is_ordered(live: LiveRun) -> bool:
    """Whether the cancellation just caught is that of the run: then its execution settles it."""
    task = asyncio.current_task()
    if live.reason != "cancelling" or task is None:
        return False
    task.uncancel()
    return True


class GraphRunner:
    """Lets the graph go on with runs, and shows each of their states once it is stored."""

    def __init__(self, graph: RunGraph, saver: RunSaver, projection: Projection) -> None:
        self._graph = graph
        self._saver = saver
        self._projection = projection
        self._control = RunControl()

    def drain(self) -> None:
        """Let no run go on past the step that it is at; it raises `GraphDrained` then."""
        self._control.request_drain()

    async def advance(
        self,
        live: LiveRun,
        config: RunnableConfig,
        row: RunRow,
        state: RunState,
        *,
        new: bool = False,
        progressed: Callable[[], Awaitable[None]] | None = None,
    ) -> RunState | None:
        """Let the graph go on from a state until it ends, where there is nothing more to be shown.

        The state is the one last stored; that of a `new` run is its input, and stored in its row.
        `progressed` is called once, when there is a new checkpoint.
        """

        async def tell(stored: RunState, changed: bool) -> None:
            nonlocal progressed
            live.state = stored
            self._projection.show(stored, changed)
            if progressed is not None and stored["status"] == "running":
                await progressed()
                progressed = None

        try:
            if state["status"] == "running" or is_waiting(state):
                live.state = state
                if state["status"] == row.status:
                    self._projection.show(state, changed=False)
                else:  # by a checkpoint that nobody has followed
                    await self._projection.write(state)
            follower = Follower(log=state.get("log", []), status=state["status"], tell=tell)
            begins = split(state) if new else None
            with self._saver.follow(live.run_id, follower, begins) as given:
                # The follower is told what is stored: nothing is put together for a stream.
                async for _ in self._graph.astream(
                    cast("Channels | None", given),
                    config,
                    stream_mode=[],
                    durability="sync",
                    control=self._control,
                    output_keys=[],
                ):
                    pass
            return None
        finally:
            live.state = None
