"""Threads as the protocol has them: one line of checkpoints over all of their runs.

The parent of a run's first checkpoint is the last of the run before, or the checkpoint that the
run was forked from; a checkpoint leads to its run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.types import StateSnapshot

from api.lg.messages import MOST_RUNS, Message, SettledMessages, messages_of
from api.lg.views import empty_state, state_view, values_of
from graph.runs.history import CheckpointNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.state import RunState, Status, whole
from graph.state.status import SETTLED

#: So many checkpoints are looked through for those that a filter lets pass.
MOST_SOUGHT = 2_000


@dataclass(frozen=True)
class Place:
    """A checkpoint, and the run of the thread that it is of."""

    run_id: str
    snapshot: StateSnapshot


class ThreadHistory:
    """One thread, as it was when it was `opened`, read for one request."""

    def __init__(
        self,
        runs: Runs,
        thread_id: str,
        members: Sequence[tuple[str, Status]],
        settled: SettledMessages,
    ) -> None:
        self.thread_id = thread_id
        self.members = members
        self._runs = runs
        self._settled = settled
        self._before: dict[str, list[Message]] = {}

    @property
    def head(self) -> tuple[str, Status] | None:
        """The run that the thread is at: what it waits for, or else its last one."""
        unsettled = [one for one in self.members if one[1] not in SETTLED]
        begun = [one for one in unsettled if one[1] != "pending"]
        return next(iter(begun or unsettled or self.members[-1:]), None)

    async def state(self, run_id: str) -> RunState:
        """The state of one of its runs. Raises `ThreadNotFound` where that has just gone."""
        state = await self._runs.threads.state(run_id)
        if state is None:
            raise ThreadNotFound(self.thread_id)
        return state

    async def before(self, state: RunState) -> list[Message]:
        """The messages of the thread before this run."""
        run_id = state["run_id"]
        if run_id not in self._before:
            lines: list[list[Message]] = []
            async for earlier in self._line(state):
                lines.append(self._settled.of(earlier))
                if len(lines) == MOST_RUNS:
                    break
            self._before[run_id] = [message for line in reversed(lines) for message in line]
        return self._before[run_id]

    async def _line(self, state: RunState) -> Any:
        """The states of the runs before one, the nearest first."""
        order = [run_id for run_id, _ in self.members]
        while True:
            fork = state.get("forked_from")
            if fork and fork["run_id"] in order:
                origin = await self._runs.threads.state(fork["run_id"])
                if origin is None:
                    return
                if await self._follows(state, origin, fork["checkpoint_id"]):
                    yield origin
                state = origin
                continue
            place = order.index(state["run_id"]) if state["run_id"] in order else 0
            if place == 0:
                return
            earlier = await self._runs.threads.state(order[place - 1])
            if earlier is None:
                order = [run_id for run_id in order if run_id != order[place - 1]]
                continue
            yield earlier
            state = earlier

    async def _follows(self, fork: RunState, origin: RunState, checkpoint_id: str) -> bool:
        """Whether a fork is another task after the end of its origin, and not that run again."""
        if origin["status"] not in SETTLED or fork["forked_from"] is None:
            return False
        if fork["forked_from"]["from_step"] is not None:
            return False
        snapshot = await self._runs.threads.snapshot(origin["run_id"], checkpoint_id)
        return whole(snapshot.values).get("status") in SETTLED

    async def values(self, state: RunState, *, interrupts: bool = False) -> dict[str, Any]:
        """The values of the thread at a state; with `interrupts` what it asks, as in streams."""
        messages = [*await self.before(state), *messages_of(state)]
        return values_of(state, messages, self._runs.tools if interrupts else None)

    async def find(self, checkpoint_id: str) -> Place:
        """A checkpoint of the thread. Raises `CheckpointNotFound`."""
        for run_id, _ in reversed(self.members):
            try:
                snapshot = await self._runs.threads.snapshot(run_id, checkpoint_id)
            except CheckpointNotFound:
                continue
            return Place(run_id, snapshot)
        raise CheckpointNotFound(self.thread_id, checkpoint_id)

    async def rests_at(self, checkpoint_id: str) -> bool:
        """Whether it waits for a person, and stands there. Raises `CheckpointNotFound`."""
        place = await self.find(checkpoint_id)
        if self.head is None or self.head != (place.run_id, "waiting"):
            return False
        newest = await self._runs.threads.snapshots(place.run_id, limit=1)
        return _id(newest[0]) == checkpoint_id

    async def at(self, checkpoint_id: str) -> dict[str, Any]:
        """The thread at a checkpoint. Raises `CheckpointNotFound`."""
        place = await self.find(checkpoint_id)
        older = await self._runs.threads.snapshots(place.run_id, limit=1, before=checkpoint_id)
        return await self._view(place, older[0] if older else None)

    async def latest(self) -> dict[str, Any]:
        """The thread as it stands."""
        for run_id, status in reversed(self.members):
            newest = await self._runs.threads.snapshots(run_id, limit=2)
            if newest:
                return await self._view(Place(run_id, newest[0]), (*newest, None)[1])
            if status == "pending" and run_id == self.members[-1][0]:
                return await self._accepted(run_id)
        return empty_state(self.thread_id)

    async def _accepted(self, run_id: str) -> dict[str, Any]:
        """The thread with a run of which nothing is stored as yet but its request."""
        values = await self.values(await self.state(run_id))
        return {**empty_state(self.thread_id), "values": values, "next": ["plan"]}

    async def page(
        self, *, limit: int, before: str | None, metadata: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        """So many states of the thread, the newest first. Raises `CheckpointNotFound`."""
        found: list[dict[str, Any]] = []
        start = await self.find(before) if before is not None else None
        sought = 0
        for run_id, _ in reversed(self.members):
            if start is not None and start.run_id != run_id:
                continue
            older = before if start is not None else None
            start = None
            most = MOST_SOUGHT - sought if metadata else limit - len(found) + 1
            snapshots = await self._runs.threads.snapshots(run_id, limit=most, before=older)
            for snapshot, parent in zip(snapshots, [*snapshots[1:], None], strict=True):
                if len(found) == limit:
                    return found
                sought += 1
                view = await self._view(Place(run_id, snapshot), parent)
                if not metadata or metadata.items() <= view["metadata"].items():
                    found.append(view)
            if sought >= MOST_SOUGHT:
                break
        return found

    async def _view(self, place: Place, parent: StateSnapshot | None) -> dict[str, Any]:
        state = whole(place.snapshot.values)
        messages = [*await self.before(state), *messages_of(state)] if state.get("status") else []
        before = parent and _id(parent)
        if before is None and state.get("status"):
            before = await self._parent(state)
        return state_view(self.thread_id, place.snapshot, before, messages, self._runs.tools)

    async def _parent(self, state: RunState) -> str | None:
        """What comes before the first checkpoint of a run."""
        order = [run_id for run_id, _ in self.members]
        if (fork := state.get("forked_from")) and fork["run_id"] in order:
            return fork["checkpoint_id"]
        place = order.index(state["run_id"]) if state["run_id"] in order else 0
        for run_id in reversed(order[:place]):
            if newest := await self._runs.threads.snapshots(run_id, limit=1):
                return _id(newest[0])
        return None


async def opened(
    runs: Runs, thread_id: str, settled: SettledMessages, *, owner: str
) -> ThreadHistory:
    """A thread of an owner. Raises `ThreadNotFound` and `StorageUnavailable`."""
    members = await runs.threads.members(thread_id, owner=owner)
    if not members:
        await runs.threads.check(thread_id, owner=owner)
    return ThreadHistory(runs, thread_id, members, settled)


def _id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])
