"""Cancelling runs: the mark is stored, then what executes the run is ended and the run settled.

What was done stays done, what was in flight is told.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Overwrite

from graph.record.events import next_event
from graph.record.record import Record
from graph.runs.context import Orders, RunContext
from graph.runs.live import Cancellation, LiveRun
from graph.runs.recovery import resume, state_at
from graph.state import (
    Attempt,
    AttemptError,
    Mark,
    PlanningCall,
    RunState,
    ended_at,
    in_doubt,
    run_error,
    split,
    step_key,
)
from graph.state.rounds import is_planning, round_of, rounds_of
from graph.state.row import RunRow
from graph.state.status import SETTLED, WrongStatus, may_become
from graph.storage.storage import StorageUnavailable
from nodes.contract.steps import InvalidOutput, InvalidReference, left_out, resolved
from tools.receipts import Begun, find_begun
from tools.threads import ToolThreads
from tools.toolbox import Tool


class AlreadySettled(WrongStatus):
    """The run has ended, so that there is nothing to cancel."""

    rule = "only one that has not ended can be cancelled"


class Canceller:
    """Cancels runs: a run whose mark is stored is cancelled, whatever happens."""

    def __init__(self, context: RunContext, runner: Orders) -> None:
        self._storage, self._reader = context.storage, context.reader
        self._runner = runner
        self._check_ready = context.check_ready

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        """As `Runs.cancel`."""
        state = await self._reader.admitted(run_id, owner)
        if may_become(state["status"], "cancelled"):
            self._check_ready()
            # Shielded from a caller who goes away: once the mark is stored, the act follows.
            await asyncio.shield(self._stop(run_id, by))
            state = await self._reader.state(run_id)
        if state["status"] not in SETTLED:
            raise StorageUnavailable
        if state["status"] != "cancelled":
            raise AlreadySettled(run_id, state["status"])
        return await self._reader.record(state)

    async def _stop(self, run_id: str, by: str) -> None:
        with self._storage.available():
            await self._storage.index.request_cancel(run_id, at=time.time(), by=by)
        await self._runner.cancel(run_id)


class Cancellations:
    """Cancels runs: ends what executes them, and settles them when nothing does any more."""

    def __init__(self, context: RunContext) -> None:
        self._graph = context.graph
        self._tools = context.tools
        self._threads = context.threads
        self._executor = context.executor
        self._store = context.storage.store
        self._doubts = context.doubts

    def begin(self, live: LiveRun) -> asyncio.Task[None]:
        """End the execution of a run, once, however often it is asked for.

        The execution that is to settle it.
        """
        if live.reason == "cancelling" and live.task:
            return live.task
        # What is not under way is new or waits; else nothing is known of its attempt, since the
        # process has died or the storage has failed in which it was made.
        since = live.state if live.state and live.state["status"] != "pending" else None
        new = live.reason == "new" and not live.begun
        idle = new or live.row is not None or since is not None
        live.cancellation = Cancellation(live.under_way or not idle, since)
        live.reason = "cancelling"
        return self._executor.interrupt(live)

    async def settle(
        self, cancellation: Cancellation, row: RunRow, config: RunnableConfig
    ) -> RunState:
        """Cancel a run that nothing executes, unless it has come to another end; its state."""
        since = cancellation.since
        left = await resume(self._graph, row, config)
        if left.next == "settled" or left.state["status"] in SETTLED:
            return left.state  # its last result was stored, and has only now become a checkpoint
        if left.state["error"] or _is_done(left.state):
            # Nothing is left to cancel: all that is due is to settle it.
            await self._graph.ainvoke(None, config, durability="sync")
            return await state_at(self._graph, config)
        state = left.state
        # Where another attempt is due by now, nobody has begun that one.
        begun = cancellation.begun and (since is None or _due(since) == _due(state))
        if since is not None and _moment(since) == _moment(state):
            # Its wait may have been cut short, which is not stored.
            state = {**state, "not_before": since["not_before"], "planning": since.get("planning")}
        cut_off = await self._cut_off(state) if begun and not is_planning(state) else None
        update = self._update(state, row, cut_off, begun=begun)
        if left.new:  # nothing of it is stored by now
            update = {**state, **update}
        await self._graph.aupdate_state(config, split(update), as_node="finalize")
        return await state_at(self._graph, config)

    async def _cut_off(self, state: RunState) -> Attempt | None:
        """The entry of the attempt that was cut off; a receipt tells whether it had begun."""
        steps, cursor = state["plan"]["steps"], state["cursor"]
        step = steps[cursor] if cursor < len(steps) else None
        guarded = step is not None and self._doubts.guards(self._tools.get(step["tool"]))
        found = None
        if step is not None and guarded:
            key = step_key(state, step["step"])
            found = await find_begun(self._store, state["owner"], key)
        return interrupted(
            state,
            tools=self._tools,
            threads=self._threads,
            at=time.time(),
            begun=found,
            guarded=guarded,
        )

    def _update(
        self, state: RunState, row: RunRow, cut_off: Attempt | None, *, begun: bool
    ) -> dict[str, Any]:
        at = row.cancel_at or time.time()
        mark = Mark(
            kind="mark",
            what="cancel",
            at=at,
            by=row.cancel_by or "server",
            detail=None,
            event=next_event(state),
        )
        return {
            "status": "cancelled",
            "log": Overwrite([*state.get("log", []), mark, *([cut_off] if cut_off else ())]),
            "error": run_error("cancelled", _summary(state, cut_off)),
            "planning": None,
            "planning_log": [*state["planning_log"], *(_call_cut_off(state) if begun else ())],
            "not_before": None,
            "completed_at": time.time(),
        }


def _call_cut_off(state: RunState) -> list[PlanningCall]:
    """The entry of the model's call that may have been in flight; what it took is not known."""
    planning, now = state.get("planning"), time.time()
    if not planning or not planning["queue"] or (planning["not_before"] or 0) > now:
        return []
    began = max(_last_call(state), planning["not_before"] or 0)
    return [
        PlanningCall(
            planner="llm",
            model=planning["queue"][0],
            outcome="failed",
            error_class="cancelled",
            transient=None,
            reasons=[],
            started_at=began,
            duration_ms=round((now - began) * 1000, 3),
            input_tokens=None,
            output_tokens=None,
            usd=None,
            round=round_of(planning),
            purpose="plan",
        )
    ]


def _is_done(state: RunState) -> bool:
    """Whether no step is left, and no further round."""
    return 0 < len(state["plan"]["steps"]) <= state["cursor"] and not is_planning(state)


def _last_call(state: RunState) -> float:
    """When the call before has ended, or the planning begun."""
    rounds = rounds_of(state)
    begun = rounds[-1]["at"] if rounds else state["started_at"] or state["created_at"]
    return max(begun, ended_at(state["planning_log"][-1])) if state["planning_log"] else begun


def _due(state: RunState) -> tuple[int, int, int] | None:
    """Which attempt is the next, once there is a plan that may be executed."""
    if not state["plan"]["steps"] or state["status"] == "waiting" or is_planning(state):
        return None
    return state["generation"], state["cursor"], state["attempt"]


def _moment(state: RunState) -> tuple[object, int]:
    """How far the run is, its planning too."""
    return _due(state), len(state["planning_log"])


def _summary(state: RunState, cut_off: Attempt | None) -> str:
    """What was done and what was not."""
    steps, done = state["plan"]["steps"], state["cursor"]
    if not steps:
        return "cancelled before there was a plan; nothing was done"
    passed = left_out(state)
    words = f"cancelled after {done - passed} of {len(steps)} steps"
    if passed:
        words += f", {passed} left out"
    if cut_off is not None:
        words += f"; step {done + 1} ({steps[done]['tool']}) was cut off"
    doubtful = cut_off is not None and cut_off["status"] == "in_doubt"
    if doubtful or (done < len(steps) and in_doubt(state, steps[done]["step"])):
        also = " and" if cut_off else f"; step {done + 1} ({steps[done]['tool']})"
        words += f"{also} may have acted"
    return words


# The attempt at a step that a cancellation has cut off.


#: The type of the error of such an attempt.
CUT_OFF = "Cancelled"


def interrupted(
    state: RunState,
    *,
    tools: Mapping[str, Tool],
    threads: ToolThreads,
    at: float,
    begun: Begun | None = None,
    guarded: bool = False,
) -> Attempt | None:
    """The entry of the attempt that was cut off at an epoch second, or None if none was due.

    `guarded`: its call leaves a receipt as it is `begun`.
    """
    steps = state["plan"]["steps"]
    due = state["not_before"] or 0.0
    if state["status"] != "running" or state["error"] or state["cursor"] >= len(steps) or due > at:
        return None
    step = steps[state["cursor"]]
    tool = tools.get(step["tool"])
    may_have_acted = tool is not None and tool.effects
    in_doubt = guarded and begun is not None and begun.attempt > state["attempt"]
    if guarded:
        may_have_acted = in_doubt
    try:
        value, _ = resolved(state, step)
    except (InvalidReference, InvalidOutput):
        value = step["input"]
    if guarded and not in_doubt:
        effect = "it was not called yet"
    elif begun is not None and begun.ended_at is not None:
        effect = "it had returned by then"
    else:
        effect = "it may have acted" if may_have_acted else "it changes nothing"
    started_at = min(max(due, _last_end(state)), at)
    return Attempt(
        kind="attempt",
        step=step["step"],
        tool=step["tool"],
        input=value,
        attempt=state["attempt"] + 1,
        generation=state["generation"],
        status="in_doubt" if in_doubt else "cancelled",
        output=None,
        error=AttemptError(
            type=CUT_OFF,
            message=f"{step['tool']} was cut off by the cancellation; {effect}",
            retryable=False,
        ),
        retry_at=None,
        thread_running=threads.running(step_key(state, step["step"])),
        may_have_acted=may_have_acted,
        started_at=started_at,
        duration_ms=round((at - started_at) * 1000, 3),
    )


def _last_end(state: RunState) -> float:
    """When the run last got on: nothing that came later had begun before."""
    entries = (*state["planning_log"], *state["log"])
    return max((ended_at(entry) for entry in entries if "duration_ms" in entry), default=0.0)
