"""From which checkpoint, and in which status, a run is resumed: what was finished stays finished.

A run that another process left is resumed, a settled one is retried by a stored retry, and a
waiting one is resumed with what was decided about its plan. The projection brings the index to
what a checkpoint says.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Overwrite, StateSnapshot

from graph.build import RunGraph
from graph.record.events import next_event
from graph.record.generations import is_due, retried, trace_id_of
from graph.runs.live import LiveRuns
from graph.state import (
    STATE_VERSION,
    Mark,
    RunState,
    logged,
    question_of,
    run_error,
    split,
    whole,
)
from graph.state.rounds import asked_about, expiry_of
from graph.state.row import RetryCommand, RunRow, state_of
from graph.state.run import facts_of
from graph.state.status import SETTLED, SETTLED_OR_WAITING
from graph.storage.storage import RunIndex, Storage
from nodes.approval.asking import approval_needed

logger = logging.getLogger("runwright.runs")

#: Starts in a row without a new checkpoint after which a run is given up.
MAX_STARTS = 3

#: States of these versions can be resumed by this program.
READABLE_VERSIONS = range(1, STATE_VERSION + 1)


@dataclass(frozen=True)
class Resumed:
    """Where a run stands: to be driven on, or settled or waiting with nothing executed.

    `snapshot` is None for one of which there is no checkpoint, or there was none. `new` says that
    its state is the input, which is stored in its row only. `left_at` is when it was last got on
    with, epoch seconds; `ordered` says that it was retried just now, so that nobody has left it.
    """

    next: Literal["drive", "settled", "waiting"]
    state: RunState
    snapshot: StateSnapshot | None = None
    new: bool = False
    left_at: float = 0.0
    ordered: bool = False


async def resume_left(
    graph: RunGraph, index: RunIndex, row: RunRow, config: RunnableConfig, first: int = 0
) -> Resumed:
    """Prepare a run that an earlier process left, mark it, and count how often that was.

    A run that got no further in several starts, `first` uncounted ones too, may end processes.
    """
    resumed = await resume(graph, row, config)
    if resumed.next != "drive" or resumed.ordered or not (resumed.snapshot or resumed.new):
        return resumed
    starts = _starts(row, resumed.snapshot)
    if starts > MAX_STARTS - first:
        reason = f"the run was started {MAX_STARTS} times in a row without getting any further"
        return Resumed("settled", await fail(graph, row, config, reason))
    if resumed.snapshot is None:
        # Nobody knows whether it was begun; if it was, it may be what ends the process.
        await index.note_start(row.run_id, starts=starts, checkpoint_id=None)
    elif resumed.snapshot.next:
        latest, state = await _mark(graph, config, resumed, resumed.snapshot.next[0], starts)
        await index.note_start(row.run_id, starts=starts, checkpoint_id=latest)
        return replace(resumed, state=state)
    return resumed


async def resume(graph: RunGraph, row: RunRow, config: RunnableConfig) -> Resumed:
    """Prepare a run to go on from its last checkpoint."""
    snapshot = await graph.aget_state(config)
    if not snapshot.created_at:
        # Accepted, and no node has ended: the request in the index is all there is of it.
        state = state_of(row)
        if row.seed is not None:
            await begin(graph, config, state)
        return Resumed("drive", state, new=row.seed is None)
    if row.retry and is_settled(snapshot) and is_due(row.retry, _state(snapshot)):
        await apply_retry(graph, config, _state(snapshot), row.retry)
        return replace(await resume(graph, row, config), ordered=True)
    if is_settled(snapshot):
        return Resumed("settled", _state(snapshot))
    if (version := _state(snapshot)["version"]) not in READABLE_VERSIONS:
        reason = (
            f"the run was left by a version of the program that wrote state {version};"
            f" this one resumes versions {READABLE_VERSIONS[0]} to {READABLE_VERSIONS[-1]}"
        )
        return Resumed("settled", await fail(graph, row, config, reason))
    left_at = datetime.fromisoformat(snapshot.created_at).timestamp()
    if any(task.result is not None for task in snapshot.tasks):
        # The node's result was stored, its checkpoint was not. A mark written now would discard
        # the result and run the node again, so the checkpoint is completed first.
        await graph.ainvoke(None, config, interrupt_before="*", durability="sync")
        snapshot = await graph.aget_state(config)
        if is_settled(snapshot):
            return Resumed("settled", _state(snapshot))
    if is_waiting(_state(snapshot)):
        return Resumed("waiting", _state(snapshot))
    return Resumed("drive", _state(snapshot), snapshot, left_at=left_at)


async def apply_stored_retry(graph: RunGraph, row: RunRow, config: RunnableConfig) -> None:
    """Let a run take over the command to retry it that an earlier process has left, if there is
    one.

    It is pending then, also while it waits for a slot. One that cannot be read is left to that.
    """
    if row.retry is None:
        return
    try:
        snapshot = await graph.aget_state(config)
        if is_settled(snapshot) and is_due(row.retry, _state(snapshot)):
            await apply_retry(graph, config, _state(snapshot), row.retry)
    except Exception:  # one run must not keep the others from going on
        logger.exception("run cannot be retried yet", extra={"run_id": row.run_id})


def is_waiting(state: RunState) -> bool:
    """Whether a run waits until somebody decides about its plan."""
    return state["status"] == "waiting" and not state["error"]


def is_settled(snapshot: StateSnapshot) -> bool:
    """Whether the run is over: by its own status, and with no node left to complete.

    `next` alone does not tell: right after the input, and after a crash between a node's result
    and its checkpoint, it is empty as well.
    """
    return _state(snapshot).get("status") in SETTLED and len(snapshot.tasks) == 0


async def fail(graph: RunGraph, row: RunRow, config: RunnableConfig, reason: str) -> RunState:
    """Settle a run as failed for a reason outside its plan; the state as stored."""
    snapshot = await graph.aget_state(config)
    state = whole(snapshot.values) if snapshot.created_at else state_of(row)
    settled: dict[str, Any] = {
        "status": "failed",
        "log": Overwrite(state.get("log", [])),
        "error": run_error("internal", reason),
        "not_before": None,
        "completed_at": time.time(),
    }
    update = settled if snapshot.created_at else {**state, **settled}
    await graph.aupdate_state(config, split(update), as_node="finalize")
    return await state_at(graph, config)


async def state_at(graph: RunGraph, config: RunnableConfig) -> RunState:
    """The state as last stored."""
    return _state(await graph.aget_state(config))


def _starts(row: RunRow, snapshot: StateSnapshot | None) -> int:
    """The number of this start in the row of those that got no further."""
    if snapshot is None:
        return row.starts + 1
    if not _stood_still(row, snapshot):
        return int(row.starts >= 0)
    waits = (_state(snapshot)["not_before"] or 0) > time.time()
    return row.starts if waits else row.starts + 1  # in a backoff there is nothing to get on with


def _stood_still(row: RunRow, snapshot: StateSnapshot) -> bool:
    """Whether nothing but the input was stored since the run was last started."""
    if row.checkpoint_id is None:
        return _state(snapshot)["status"] == "pending"
    return row.checkpoint_id == _checkpoint_id(snapshot)


async def _mark(
    graph: RunGraph, config: RunnableConfig, left: Resumed, node: str, starts: int
) -> tuple[str, RunState]:
    """Mark that a run is resumed; the id of the checkpoint, and the state with it."""
    state = left.state
    mark = Mark(
        kind="mark",
        what="taken_up",
        at=time.time(),
        by="server",
        detail=f"start {starts} since the last checkpoint" if starts > 1 else None,
        event=next_event(state),
    )
    paused = state.get("paused", 0.0)
    if state["started_at"] is not None:
        paused += max(0.0, mark["at"] - left.left_at)
    update: dict[str, Any] = {"log": [mark], "paused": paused}
    marked = await graph.aupdate_state(config, split(update), as_node=_before(graph, node))
    after: dict[str, Any] = {**state, **update, "log": [*state["log"], mark]}
    return marked["configurable"]["checkpoint_id"], cast("RunState", after)


def _before(graph: RunGraph, node: str) -> str:
    """As which node a mark is written, so that `node` remains the one that is next.

    It is what always leads there. Where a router decides, that of `plan` has led to the pattern
    planner, and any other node is given by the router after `execute_step` for the same state.
    """
    for start, end in graph.builder.edges:
        if end == node:
            return start
    return "plan" if node == "fallback_plan" else "execute_step"


def _checkpoint_id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


def _state(snapshot: StateSnapshot) -> RunState:
    return whole(snapshot.values)


async def apply_retry(
    graph: RunGraph, config: RunnableConfig, state: RunState, command: RetryCommand
) -> None:
    """Let a settled run take over the command: it is pending then, with a mark that says so."""
    node = "execute_step" if state["plan"]["steps"] else "__start__"
    update = retried(state, command, next_event(state))
    await graph.aupdate_state(config, split(update), as_node=node)


def after_retry(state: RunState, command: RetryCommand) -> RunState:
    """A settled state as it is once it has taken over the command."""
    update = retried(state, command, next_event(state))
    log = logged(state.get("log", []), [update.pop("log")])
    return cast("RunState", {**state, **update, "log": log})


def thread(run_id: str) -> RunnableConfig:
    """Where the checkpoints of a run are."""
    return {"configurable": {"thread_id": run_id}}


async def set_running(graph: RunGraph, config: RunnableConfig, state: RunState) -> RunState:
    """Note that a run continues with the plan that it was retried or forked with; its state then.

    Where nobody has approved that plan, it waits with it instead: both are one checkpoint, so that
    nothing can die in between. A run without a plan notes its start in planning.
    """
    if state["status"] == "pending" and state["plan"]["steps"]:
        now = time.time()
        update = {"status": "running", "started_at": now} | approval_needed(state, now)
        await graph.aupdate_state(config, split(update), as_node="execute_step")
        return cast("RunState", {**state, **update})
    return state


async def carry_out(
    graph: RunGraph, index: RunIndex, row: RunRow, config: RunnableConfig, state: RunState
) -> RunState:
    """The state of a waiting run after the decision in its row; the same where there is none.

    Nothing is executed yet. Doing it again after a crash does it once.
    """
    question = question_of(state)
    number = question["number"] if question else asked_about(state)
    answer: Any = row.approval_answer
    if answer is None or answer.get("question") != number:
        return state  # none, or one that was carried out before
    command: Command[None] = Command(resume=row.approval_answer)
    await graph.ainvoke(command, config, interrupt_before="*", durability="sync")
    decided = await state_at(graph, config)
    if is_waiting(decided):
        # It was stored by a process with other tools, which the plan no longer fits.
        logger.warning("plan cannot be executed as approved", extra={"run_id": row.run_id})
        await index.forget_approval_answer(row.run_id)
    return decided


async def begin(graph: RunGraph, config: RunnableConfig, state: RunState) -> None:
    """Write the first checkpoint of a fork: one that has a plan continues with its steps."""
    node = "execute_step" if state["plan"]["steps"] else "__start__"
    await graph.aupdate_state(config, split(state), as_node=node)


class Projection:
    """Writes to the index what a stored state says, and then shows that state."""

    def __init__(
        self, storage: Storage, live: LiveRuns, publish: Callable[[RunState], None]
    ) -> None:
        self._storage = storage
        self._live = live
        self.publish = publish

    async def write(self, state: RunState) -> None:
        """Raises what the storage raises."""
        # Before it is seen to wait, so that none waits for ever.
        if expiry := expiry_of(state):
            await self._storage.index.note_expiry(state["run_id"], *expiry)
        changed = await self._storage.index.project(
            state["run_id"],
            state["status"],
            started_at=state["started_at"],
            completed_at=state["completed_at"],
            facts=facts_of(state),
            generation=state["generation"],
        )
        self.show(state, changed)

    def show(self, state: RunState, changed: bool) -> None:
        """Show a state that is in the index, `changed` with it or not."""
        status = state["status"]
        if (live := self._live.get(state["run_id"])) and status in SETTLED_OR_WAITING:
            live.unsettled = False
        self.publish(state)
        if changed:
            error = state["error"] if status in SETTLED else None
            logger.info(
                "run %s",
                status,
                extra={
                    "run_id": state["run_id"],
                    "trace_id": trace_id_of(state),
                    "error": error and error["type"],
                },
            )
