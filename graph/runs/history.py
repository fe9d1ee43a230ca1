"""What was: every checkpoint of a run and what it has changed; and the run once more.

Runs that are over are exported, run again and compared; nothing of that is stored.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    CheckpointTuple,
    DeltaChannelHistory,
    copy_checkpoint,
)
from langgraph.constants import START
from langgraph.types import StateSnapshot
from pydantic import Field
from typing_extensions import TypedDict

from graph.build import RunGraph
from graph.record.diff import Difference, differences
from graph.runs.accept import Acceptance
from graph.runs.context import RunContext
from graph.runs.replay import Replayer
from graph.state import (
    RunState,
    Status,
    whole,
)
from graph.state.rounds import rounds_of
from graph.state.status import SETTLED_OR_WAITING, WrongStatus
from graph.state.wording import Time, doc


class CheckpointNotFound(Exception):
    """The run has no checkpoint with this id."""

    def __init__(self, run_id: str, checkpoint_id: str) -> None:
        super().__init__(f"run {run_id} has no checkpoint {checkpoint_id}")
        self.run_id = run_id
        self.checkpoint_id = checkpoint_id


class LoggedView(TypedDict):
    """An entry that was added to the run's log."""

    kind: Annotated[str, doc("`attempt` or `mark`.")]
    step: Annotated[int | None, doc("The step that was attempted.")]
    attempt: Annotated[int | None, doc("Which attempt at it, counted from 1.")]
    status: Annotated[str | None, doc("How the attempt ended.")]
    what: Annotated[str | None, doc("What the mark says.")]


class CheckpointView(TypedDict):
    """One checkpoint of a run, and what it has changed."""

    checkpoint_id: Annotated[str, doc("Its id.")]
    at: Annotated[Time, Field(serialization_alias="time", description="When it was stored.")]
    node: Annotated[str | None, doc("The node that led to it; null for what came from outside.")]
    status: Annotated[Status | None, doc("How the run stood; null for its input.")]
    cursor: Annotated[int | None, doc("Steps that were done or left out.")]
    round: Annotated[int | None, doc("The round that is planned or executed; null before any.")]
    next: Annotated[list[str], doc("The node that was to follow; none at an end.")]
    changed: Annotated[list[str], doc("What is not as in the checkpoint before.")]
    logged: Annotated[list[LoggedView], doc("What was added to the log.")]


class HistoryPage(TypedDict):
    """Checkpoints of a run."""

    checkpoints: Annotated[list[CheckpointView], doc("The newest first.")]
    before: Annotated[
        str | None, doc("The `before` that asks for the page which follows; null after the last.")
    ]


class Checkpoint(TypedDict):
    """One checkpoint with the whole state; `state` is null where only the input was stored."""

    entry: CheckpointView
    state: RunState | None


async def page_of(
    graph: RunGraph, config: RunnableConfig, *, limit: int, before: str | None
) -> HistoryPage:
    """So many checkpoints of a thread, the newest first; with `before` those older than it.

    Raises `CheckpointNotFound` where there is no checkpoint `before`.
    """
    snapshots = await snapshots_of(graph, config, limit=limit + 1, before=before)
    shown = snapshots[:limit]
    more = len(snapshots) > limit
    return HistoryPage(
        checkpoints=[
            _entry(snapshot, older, _first_node(graph))
            for snapshot, older in zip(shown, [*snapshots[1:], None], strict=False)
        ],
        before=_id(shown[-1]) if more else None,
    )


async def snapshots_of(
    graph: RunGraph, config: RunnableConfig, *, limit: int | None = None, before: str | None = None
) -> list[StateSnapshot]:
    """So many checkpoints of a thread as LangGraph has them, the newest first.

    With `before` those older than it. Raises `CheckpointNotFound` where there is none `before`.
    """
    saver = cast("BaseCheckpointSaver[str]", graph.checkpointer)
    start = _at(config, before) if before is not None else None
    if start is not None and await saver.aget_tuple(start) is None:
        raise _not_found(start)
    found = graph.copy({"checkpointer": ReadOnce(saver)}).aget_state_history(
        config, before=start, limit=limit
    )
    return [snapshot async for snapshot in found]


async def checkpoint_of(graph: RunGraph, config: RunnableConfig, checkpoint_id: str) -> Checkpoint:
    """One checkpoint of a thread. Raises `CheckpointNotFound`."""
    snapshot = await snapshot_of(graph, _at(config, checkpoint_id))
    parent = snapshot.parent_config
    older = await graph.aget_state(parent) if parent else None
    state = whole(snapshot.values)
    return Checkpoint(
        entry=_entry(snapshot, older, _first_node(graph)),
        state=state if state.get("status") else None,
    )


async def snapshot_of(graph: RunGraph, config: RunnableConfig) -> StateSnapshot:
    """The checkpoint of this place as LangGraph has it. Raises `CheckpointNotFound`."""
    snapshot = await graph.aget_state(config)
    if not snapshot.created_at:
        raise _not_found(config)
    return snapshot


def _not_found(config: RunnableConfig) -> CheckpointNotFound:
    place = config["configurable"]
    return CheckpointNotFound(place["thread_id"], place["checkpoint_id"])


def _at(config: RunnableConfig, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint_id}}


def _first_node(graph: RunGraph) -> str:
    """The node that every run begins with."""
    return next(end for start, end in graph.builder.edges if start == START)


def _entry(snapshot: StateSnapshot, older: StateSnapshot | None, first: str) -> CheckpointView:
    values: dict[str, Any] = {**whole(snapshot.values)}
    before: dict[str, Any] = {**whole(older.values)} if older else {}
    added = values.get("log", [])[len(before.get("log", [])) :]
    return CheckpointView(
        checkpoint_id=_id(snapshot),
        node=_node(snapshot, older, first),
        status=values.get("status"),
        cursor=values.get("cursor"),
        round=_round(values),
        next=list(snapshot.next),
        changed=sorted(
            name for name in values if name not in before or values[name] != before[name]
        ),
        logged=[_logged(entry) for entry in added],
        at=datetime.fromisoformat(snapshot.created_at or "").timestamp(),
    )


def _round(values: Mapping[str, Any]) -> int | None:
    """The last round that was begun; the first one is planned before there is a plan."""
    if values.get("status") in (None, "pending"):
        return None
    return max(1, len(rounds_of(values)))


def _node(snapshot: StateSnapshot, older: StateSnapshot | None, first: str) -> str | None:
    """The node that ran between two checkpoints; before that of an accepted run, the `first`."""
    metadata = snapshot.metadata
    if metadata is None or metadata.get("source") != "loop":
        return None
    if older is None:
        return first if metadata.get("step") == 1 and not snapshot.parent_config else None
    return older.next[0] if older.next else None


def _logged(entry: dict[str, Any]) -> LoggedView:
    return LoggedView(
        kind=entry["kind"],
        step=entry.get("step"),
        attempt=entry.get("attempt"),
        status=entry.get("status"),
        what=entry.get("what"),
    )


def _id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


class ReadOnce(BaseCheckpointSaver[str]):
    """Lists another saver's checkpoints, and puts the log of each together from the one before it.

    The log of a state is the writes of all checkpoints before it: for a page of states the other
    saver would read nearly the same ones again for each. What was read is kept, so that this is
    for one call, and for reading only.
    """

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._read: dict[str, CheckpointTuple] = {}
        self._histories: dict[tuple[str, str], DeltaChannelHistory] = {}

    async def alist(self, *place: Any, **bounds: Any) -> AsyncIterator[CheckpointTuple]:
        found = self._saver.alist(*place, **bounds)
        later: dict[str, Any] = {}
        async for one in found:
            later = _shared(one.checkpoint["channel_values"], later)
            self._read[_saved_id(one.config)] = one
            # A copy, since LangGraph notes in it what it applies to the state.
            yield one._replace(checkpoint=copy_checkpoint(one.checkpoint))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return {channel: await self._history(config, channel) for channel in channels}

    async def _history(self, config: RunnableConfig, channel: str) -> DeltaChannelHistory:
        place = _saved_id(config), channel
        if place not in self._histories:
            self._histories[place] = await self._put_together(config, channel)
        return self._histories[place]

    async def _put_together(self, config: RunnableConfig, channel: str) -> DeltaChannelHistory:
        target = self._read.get(_saved_id(config))
        origin = target.parent_config if target else None
        parent = self._read.get(_saved_id(origin)) if origin else None
        if parent is None:
            found = await self._saver.aget_delta_channel_history(config=config, channels=[channel])
            return found[channel]
        writes = [write for write in parent.pending_writes or () if write[1] == channel]
        stored = parent.checkpoint["channel_values"]
        if channel in stored:
            return {"seed": stored[channel], "writes": writes}
        before = await self._history(parent.config, channel)
        return {**before, "writes": [*before["writes"], *writes]}


def _shared(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The values, those that have not changed as the same objects as in a later checkpoint.

    A plan of many steps in every checkpoint of a page is more than the garbage collector walks
    through in the time that it takes to read them.
    """
    for name, value in values.items():
        if name in later and later[name] == value:
            values[name] = later[name]
    return values


def _saved_id(config: RunnableConfig) -> str:
    return str(config["configurable"]["checkpoint_id"])


# Once more.


#: So many are replayed at once: it takes the processor, and nothing is waited for but live tools.
REPLAYS_AT_ONCE = 2

#: The longest that a replay may take, in seconds.
LONGEST = 60.0

#: The form of exported files; another one is another number.
FORMAT = 1


class NotReplayable(WrongStatus):
    """The run is under way, so that its record is not whole."""

    rule = "only one that has ended, or waits for a person, can be replayed"


class RunExport(TypedDict):
    """A run with all that is kept of it, to be replayed by any server or command."""

    format: Annotated[int, doc("The form of this file: 1.")]
    version: Annotated[str, doc("The version of the program that has written it.")]
    run: Annotated[
        dict[str, Any],
        doc("The state of the run, with models' answers and all outputs; times in epoch seconds."),
    ]


class RunReplay(TypedDict):
    """A recorded run against the same run today; the first of two is the recorded one."""

    run_id: Annotated[str, doc("The run.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    live: Annotated[list[str], doc("The tools that were called.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


class RunDiff(TypedDict):
    """Two runs against each other."""

    run_ids: Annotated[list[str], doc("The two runs.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


def exported(state: RunState) -> RunExport:
    """The file of a run."""
    return RunExport(format=FORMAT, version=version("runwright"), run=dict(state))


async def compared(
    replayer: Replayer,
    recorded: RunState,
    live: Collection[str] = (),
    *,
    ignoring: Collection[str] = (),
) -> RunReplay:
    """A recorded run against the same run today, without what is of a kind to be ignored.

    Raises `LiveRejected`.
    """
    try:
        async with asyncio.timeout(LONGEST):
            found = differences(recorded, await replayer.replay(recorded, live))
    except TimeoutError:
        found = [_too_long()]
    found = [one for one in found if one["what"] not in ignoring]
    run_id = recorded["run_id"]
    names = list(dict.fromkeys(live))
    return RunReplay(run_id=run_id, same=not found, live=names, differences=found)


def _too_long() -> Difference:
    ended = f"the replay was ended after {LONGEST:g} s"
    return Difference(
        what="order", where=ended, step=None, round=None, path="", first=None, second=ended
    )


class Replays:
    """What is asked of runs that are over."""

    def __init__(self, context: RunContext, acceptance: Acceptance, replayer: Replayer) -> None:
        self._reader = context.reader
        self._check_ready, self._acceptance = context.check_ready, acceptance
        self.replayer = replayer
        self._slots = asyncio.Semaphore(REPLAYS_AT_ONCE)

    async def export(self, run_id: str, *, owner: str | None) -> RunExport:
        """The file of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        return exported(await self._reader.admitted(run_id, owner))

    async def replay(
        self, run_id: str, live: Collection[str] = (), *, owner: str | None
    ) -> RunReplay:
        """A run against the same run today; it counts as a post of its owner.

        The tools that are `live` are called, and nothing else is. Raises `RunNotFound`,
        `NotReplayable`, `LiveRejected`, `TooManyPosts`, `NotAccepting` and `StorageUnavailable`.
        """
        recorded = await self._reader.admitted(run_id, owner)
        if recorded["status"] not in SETTLED_OR_WAITING:
            raise NotReplayable(run_id, recorded["status"])
        self._check_ready()
        await self._acceptance.count_post(recorded["owner"])
        async with self._slots:
            return await compared(self.replayer, recorded, live)

    async def diff(self, run_id: str, other_id: str, *, owner: str | None) -> RunDiff:
        """Two runs as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        first = await self._reader.admitted(run_id, owner)
        second = await self._reader.admitted(other_id, owner)
        found = differences(first, second)
        return RunDiff(run_ids=[run_id, other_id], same=not found, differences=found)
