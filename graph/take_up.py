"""Taking up a run that another process left: what was finished stays finished."""

import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from graph.build import RunGraph
from graph.index import RunIndex, RunRow
from graph.record import state_of
from graph.state import STATE_VERSION, ErrorType, Mark, RunState, run_error
from graph.status import SETTLED

#: Starts in a row without a new checkpoint after which a run is given up.
MAX_STARTS = 3

#: States of these versions can be resumed by this program.
READABLE_VERSIONS = range(1, STATE_VERSION + 1)

#: Which node's writers leave the next node as it is when a mark is added to the state. Any other
#: next node is one that the router after `execute_step` gives for the same state.
_WRITTEN_AS = {"plan": "__start__", "fallback_plan": "plan"}


@dataclass(frozen=True)
class TakenUp:
    """What became of a run at its take-up: to be driven on, or settled with nothing executed."""

    next: Literal["drive", "settled"]
    state: RunState


async def take_up(graph: RunGraph, index: RunIndex, row: RunRow, config: RunnableConfig) -> TakenUp:
    """Prepare a run that an earlier process left, and mark it as taken up."""
    snapshot = await graph.aget_state(config)
    if not snapshot.created_at:
        # Accepted, but never begun: the request in the index is all there is of it.
        await graph.aupdate_state(config, state_of(row), as_node="__start__")
        return TakenUp("drive", state_of(row))
    if is_settled(snapshot):
        return TakenUp("settled", _state(snapshot))
    if (version := snapshot.values["version"]) not in READABLE_VERSIONS:
        reason = (
            f"the run was left by a version of the program that wrote state {version};"
            f" this one resumes versions {READABLE_VERSIONS[0]} to {READABLE_VERSIONS[-1]}"
        )
        return TakenUp("settled", await fail(graph, config, "internal", reason))
    if any(task.result is not None for task in snapshot.tasks):
        # The node's result was stored, its checkpoint was not. A mark written now would discard
        # the result and run the node again, so the checkpoint is completed first.
        await graph.ainvoke(None, config, interrupt_before="*", durability="sync")
        snapshot = await graph.aget_state(config)
    starts = row.starts + 1 if _stood_still(row, snapshot) else 1
    if starts > MAX_STARTS:
        reason = f"the run was started {MAX_STARTS} times in a row without getting any further"
        return TakenUp("settled", await fail(graph, config, "internal", reason))
    if snapshot.next:
        config_after = await _mark(graph, config, snapshot, starts)
        latest = config_after["configurable"]["checkpoint_id"]
        await index.note_start(row.run_id, starts=starts, checkpoint_id=latest)
    return TakenUp("drive", _state(snapshot))


def is_settled(snapshot: StateSnapshot) -> bool:
    """Whether the run is over: by its own status, and with no node left to complete.

    `next` alone does not tell: right after the input, and after a crash between a node's result
    and its checkpoint, it is empty as well.
    """
    return snapshot.values.get("status") in SETTLED and len(snapshot.tasks) == 0


async def fail(graph: RunGraph, config: RunnableConfig, kind: ErrorType, reason: str) -> RunState:
    """Settle a run as failed from outside its nodes; the state as stored."""
    await graph.aupdate_state(
        config,
        {
            "status": "failed",
            "error": run_error(kind, reason),
            "not_before": None,
            "completed_at": time.time(),
        },
        as_node="finalize",
    )
    return _state(await graph.aget_state(config))


def _stood_still(row: RunRow, snapshot: StateSnapshot) -> bool:
    """Whether nothing but the input was stored since the run was last started."""
    if row.checkpoint_id is None:
        return _state(snapshot)["status"] == "pending"
    return row.checkpoint_id == _checkpoint_id(snapshot)


async def _mark(
    graph: RunGraph, config: RunnableConfig, snapshot: StateSnapshot, starts: int
) -> Any:
    mark = Mark(
        kind="mark",
        what="taken_up",
        at=time.time(),
        by="server",
        detail=f"start {starts} since the last checkpoint" if starts > 1 else None,
    )
    as_node = _WRITTEN_AS.get(snapshot.next[0], "execute_step")
    return await graph.aupdate_state(config, {"log": [mark]}, as_node=as_node)


def _checkpoint_id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


def _state(snapshot: StateSnapshot) -> RunState:
    return cast("RunState", snapshot.values)
