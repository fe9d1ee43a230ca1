"""Threads as the protocol has them: the checkpoints of all of their runs, in order of id.

The parent of a run's first checkpoint is the last of the run before, or the checkpoint that the
run was forked from; a checkpoint leads to its run. Where runs overlap, since one was retried after
another or cancelled behind it, their checkpoints come in between each other, and the last before a
run's first is the one that the thread was at when that run began: what it follows stays the same
whatever becomes of an earlier run, and each parent is older than its child.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from langgraph.types import StateSnapshot

from api.lg.requests import as_text, canonical
from api.lg.views import MOST_RUNS, OURS, Message, messages_of, question, values_of
from graph.record.events import events
from graph.runs.history import CheckpointNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.state import RunState, Status, whole
from graph.state.status import SETTLED
from tools.toolbox import Tool

#: So many checkpoints are looked through for those that a filter lets pass.
MOST_SOUGHT, SOUGHT_AT_ONCE = 2_000, 200


class SettledMessages:
    """The messages of runs that have ended, kept while there is room: they are told with each
    later run of their thread.
    """

    def __init__(self, room: int = 4 * 2**20) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[str, int], tuple[list[Message], int]] = OrderedDict()
        self._size = 0

    def of(self, state: RunState) -> list[Message]:
        """The messages of a run."""
        if state["status"] not in SETTLED:
            return messages_of(state)
        place = state["run_id"], state["generation"]
        if (kept := self._kept.get(place)) is not None:
            self._kept.move_to_end(place)
            return kept[0]
        messages = messages_of(state)
        size = len(json.dumps(messages))
        self._kept[place] = messages, size
        self._size += size
        while self._size > self._room:
            _, (_, gone) = self._kept.popitem(last=False)
            self._size -= gone
        return messages


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
        """The run that the thread is at."""
        return head_of(self.members)

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
            async for earlier in self._earlier(state):
                lines.append(self._settled.of(earlier))
                if len(lines) == MOST_RUNS:
                    break
            self._before[run_id] = [message for line in reversed(lines) for message in line]
        return self._before[run_id]

    async def _earlier(self, state: RunState) -> Any:
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

    async def find(self, checkpoint_id: str) -> str:
        """The run that has a checkpoint of the thread. Raises `CheckpointNotFound`."""
        known = canonical(checkpoint_id) == checkpoint_id
        found = await self._line(limit=1, at=checkpoint_id) if known else ()
        if not found:
            raise CheckpointNotFound(self.thread_id, checkpoint_id)
        return found[0][0]

    async def rests_at(self, checkpoint_id: str) -> bool:
        """Whether it waits for a person, and stands there. Raises `CheckpointNotFound`."""
        run_id = await self.find(checkpoint_id)
        if self.head != (run_id, "waiting"):
            return False
        newest = await self._runs.threads.snapshots(run_id, limit=1)
        return _id(newest[0]) == checkpoint_id

    async def ended_at(self, checkpoint_id: str) -> bool:
        """Whether all that there is of it is before this. Raises `CheckpointNotFound`."""
        run_id = await self.find(checkpoint_id)
        if self.members[-1][0] != run_id or any(one[1] not in SETTLED for one in self.members):
            return False
        return [(run_id, checkpoint_id)] == [*await self._line(limit=1)]

    async def of_run(
        self, run_id: str, *, limit: int | None = None
    ) -> list[tuple[int, dict[str, Any]]]:
        """The newest states of one of its runs in their order, each after its number of events."""
        found = await self._runs.threads.snapshots(run_id, limit=limit)
        numbered = []
        for snapshot, parent in zip(found, [*found[1:], None], strict=True):
            state = whole(snapshot.values)
            if state.get("status"):
                view = await self._view(snapshot, parent)
                numbered.append((len(events(state)), view))
        return numbered[::-1]

    async def at(self, checkpoint_id: str) -> dict[str, Any]:
        """The thread at a checkpoint. Raises `CheckpointNotFound`."""
        [view] = await self._views([(await self.find(checkpoint_id), checkpoint_id)])
        return view

    async def latest(self) -> dict[str, Any]:
        """The thread as it stands."""
        for view in await self._views(await self._line(limit=1)):
            return view
        return await self._accepted(self.head[0]) if self.head else empty_state(self.thread_id)

    async def _accepted(self, run_id: str) -> dict[str, Any]:
        """The thread with a run of which nothing is stored as yet but its request."""
        values = await self.values(await self.state(run_id))
        return {**empty_state(self.thread_id), "values": values, "next": ["plan"]}

    async def page(
        self,
        *,
        limit: int,
        before: str | None,
        metadata: Mapping[str, Any] | None,
        including: bool = False,
    ) -> list[dict[str, Any]]:
        """So many states of the thread, the newest first; those before one, or that one, too.

        Raises `CheckpointNotFound`.
        """
        found: list[dict[str, Any]] = []
        wanted = metadata or {}
        if before is not None:
            place = (await self.find(before), before)
            first = await self._views([place]) if including else []
            found = [one for one in first if _fits(wanted, one["metadata"])]
        sought = 0
        while len(found) < limit and sought < MOST_SOUGHT:
            most = SOUGHT_AT_ONCE if metadata else limit
            line = await self._line(limit=most, before=before)
            views = await self._views(line)
            found += [one for one in views if _fits(wanted, one["metadata"])]
            if len(line) < most:
                break
            sought, before = sought + most, line[-1][1]
        return found[:limit]

    async def _line(
        self, *, limit: int, before: str | None = None, at: str | None = None
    ) -> Sequence[tuple[str, str]]:
        """The runs and ids of its checkpoints, the newest first."""
        threads = self._runs.threads
        return await threads.checkpoints(self.thread_id, limit=limit, before=before, at=at)

    async def _views(self, line: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """The states of checkpoints; those that follow each other in a run are read together."""
        views = []
        for run_id, group in groupby(line, key=itemgetter(0)):
            newest, *others = [checkpoint_id for _, checkpoint_id in group]
            try:
                first = await self._runs.threads.snapshot(run_id, newest)
                most = len(others) + 1
                older = await self._runs.threads.snapshots(run_id, limit=most, before=newest)
            except CheckpointNotFound:  # the run was removed meanwhile
                continue
            shown = [first, *older[: len(others)]]
            for snapshot, parent in zip(shown, [*older, None], strict=False):
                views.append(await self._view(snapshot, parent))
        return views

    async def _view(self, snapshot: StateSnapshot, parent: StateSnapshot | None) -> dict[str, Any]:
        state = whole(snapshot.values)
        messages = [*await self.before(state), *messages_of(state)] if state.get("status") else []
        before = _id(parent) if parent else await self._parent(snapshot, state)
        return state_view(self.thread_id, snapshot, before, messages, self._runs.tools)

    async def _parent(self, first: StateSnapshot, state: RunState) -> str | None:
        """What comes before the first checkpoint of a run."""
        fork = state.get("forked_from")
        if fork and fork["run_id"] in [run_id for run_id, _ in self.members]:
            return fork["checkpoint_id"]
        return next((one for _, one in await self._line(limit=1, before=_id(first))), None)


def head_of(members: Sequence[tuple[str, Status]]) -> tuple[str, Status] | None:
    """The run that a thread is at: what it waits for, or else its last one; None without any."""
    unsettled = [one for one in members if one[1] not in SETTLED]
    begun = [one for one in unsettled if one[1] != "pending"]
    return next(iter(begun or unsettled or members[-1:]), None)


async def opened(
    runs: Runs, thread_id: str, settled: SettledMessages, *, owner: str
) -> ThreadHistory:
    """A thread of an owner. Raises `ThreadNotFound` and `StorageUnavailable`."""
    members = await runs.threads.members(thread_id, owner=owner)
    if not members:
        await runs.threads.check(thread_id, owner=owner)
    return ThreadHistory(runs, thread_id, members, settled)


def _fits(wanted: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a state has this metadata, of which what a caller gave was kept as text."""
    return all(
        name in metadata and as_text({name: value}) == as_text({name: metadata[name]})
        for name, value in wanted.items()
    )


def _id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"]["checkpoint_id"])


# A thread at one of its checkpoints, or before the first.


_NO_SUBGRAPH = {"checkpoint_ns": ""}


def checkpoint_view(thread_id: str, checkpoint_id: str | None) -> dict[str, Any]:
    """A checkpoint as clients name it."""
    return {
        "thread_id": thread_id,
        **_NO_SUBGRAPH,
        "checkpoint_id": checkpoint_id,
    }


def state_view(
    thread_id: str,
    snapshot: StateSnapshot,
    parent: str | None,
    messages: Sequence[Message],
    tools: Mapping[str, Tool],
) -> dict[str, Any]:
    """A thread at a checkpoint of one of its runs; `parent` is the id of the one before it."""
    state = whole(snapshot.values)
    asked = question(state, tools) if state.get("status") else None
    own = str(snapshot.config["configurable"]["checkpoint_id"])
    tasks = [
        {
            "id": task.id,
            "name": task.name,
            "path": [*task.path],
            "error": str(task.error) if task.error else None,
            "interrupts": [asked] if asked else [],
            "checkpoint": None,
            "state": None,
            "result": task.result,
        }
        for task in snapshot.tasks
    ]
    return {
        "values": values_of(state, messages) if state.get("status") else dict(snapshot.values),
        "next": [*snapshot.next],
        "tasks": tasks,
        "metadata": {
            **state.get("metadata", {}),
            **(snapshot.metadata or {}),
            **_known(state, thread_id),
        },
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint_view(thread_id, own),
        "parent_checkpoint": checkpoint_view(thread_id, parent) if parent else None,
        "interrupts": [asked] if asked else [],
        "checkpoint_id": own,
        "parent_checkpoint_id": parent,
    }


def _known(state: RunState, thread_id: str) -> dict[str, Any]:
    return {
        **OURS,
        "run_id": state.get("run_id"),
        "thread_id": thread_id,
    }


def empty_state(thread_id: str) -> dict[str, Any]:
    """A thread of which nothing is stored."""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": checkpoint_view(thread_id, None),
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }
