"""What everything that is done with runs works on, in one process: reading them first of all,
and who did what with them.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from graph.build import RunGraph
from graph.queue.executor import Executor, NotAccepting
from graph.record.generations import is_due
from graph.record.record import Record, Undelivered, WaitsFor, record_of, waiting_for
from graph.runs.live import Broadcaster, LiveRuns, Observe, SettledRuns
from graph.runs.recovery import after_retry, thread
from graph.runs.threads import Conversations, ThreadQueues
from graph.settings.configured import site_of
from graph.state import (
    THREAD_CONTEXT,
    Learned,
    RunState,
    Status,
    attempts,
    learned_of,
    question_of,
    step_key,
    whole,
)
from graph.state.row import state_of
from graph.state.status import SETTLED
from graph.storage.records import AuditPage, AuditQuery
from graph.storage.search import Position, Search, decode, encode
from graph.storage.storage import Storage
from nodes.approval.asking import DoubtGate
from tools.receipts import Blob, find_blob
from tools.threads import ToolThreads
from tools.toolbox import Tool


class RunNotFound(Exception):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class RunReader:
    """States of runs, from memory while they are executed here, else from the storage.

    `graph` reads checkpoints without queueing behind the writer.
    """

    def __init__(
        self,
        graph: RunGraph,
        storage: Storage,
        live: LiveRuns,
        executor: Executor,
        settled: SettledRuns,
    ) -> None:
        self.graph = graph.copy({"checkpointer": storage.reader})
        self._settled = settled
        self._storage = storage
        self._live = live
        self._executor = executor

    async def admit(self, run_id: str, owner: str | None) -> None:
        """Raises `RunNotFound` for a run that is not the owner's, and `StorageUnavailable`.

        One that is another's takes the same steps as one that is not there, so that neither the
        answer nor its time tells them apart.
        """
        if not _is_run_id(run_id):
            raise RunNotFound(run_id)
        if (state := self._live.state(run_id)) and owner in (state["owner"], None):
            return
        if self._settled.find(run_id, owner):
            return
        with self._storage.available():
            owned = await self._storage.index.owned(run_id, owner)
        if not owned:
            raise RunNotFound(run_id)

    async def admitted(self, run_id: str, owner: str | None) -> RunState:
        """The state of an owner's run. Raises what `admit` raises."""
        await self.admit(run_id, owner)
        return await self.state(run_id)

    async def state(self, run_id: str) -> RunState:
        """The state of a run of any owner. Raises `RunNotFound` and `StorageUnavailable`."""
        if state := self._live.state(run_id) or self._settled.state(run_id):
            return state
        begun = self._settled.begin_reading(run_id)
        try:
            return await self._stored(run_id, begun)
        finally:
            self._settled.end_reading(run_id, begun)

    async def _stored(self, run_id: str, begun: object) -> RunState:
        with self._storage.available():
            snapshot = await self.graph.aget_state(thread(run_id))
            # It may have been begun meanwhile. What is told of it then must not be later than what
            # the next call is told, which could not decide about a plan that this one saw wait.
            if state := self._live.state(run_id):
                return state
            if snapshot.created_at:
                stored = await self._retried(whole(snapshot.values))
                self._settled.keep_read(stored, begun)
                return stored
            found = await self._storage.index.find(run_id)
        if found is None:
            raise RunNotFound(run_id)
        return state_of(found)

    async def stored(self, run_id: str) -> RunState:
        """The state of a run of any owner as it is stored; the same errors."""
        return await self._stored(run_id, object())

    async def _retried(self, stored: RunState) -> RunState:
        """The state with the command to retry it that nobody has carried out yet, if there is one.

        Where this process executes its runs alone it has, unless the database has lost just that.
        """
        live = self._live.get(stored["run_id"])
        # While its lock is held it is carried out: who saw it as pending would cancel it meanwhile.
        retried = live and live.reason == "retried" and not live.lock.locked()
        if not (self._storage.fleet or retried) or stored["status"] not in SETTLED:
            return stored
        row = await self._storage.index.find(stored["run_id"])
        if row is None or row.retry is None or not is_due(row.retry, stored):
            return stored
        return after_retry(stored, row.retry)

    async def record(self, state: RunState) -> Record:
        """The record of a state, with the runs forked from it. Raises `StorageUnavailable`."""
        run_id = state["run_id"]
        with self._storage.available():
            forks = await self._storage.index.forks(run_id)
            learned = await self.learned(state)
            waits_for_run = await self.waits_for_run(state)
            outbox = self._storage.outbox
            undelivered = await outbox.undelivered(run_id) if outbox.may_have_failed else ()
        return record_of(
            state,
            queue_position=await self.position(run_id, state["status"]),
            forks=forks,
            learned=learned,
            waits_for_run=waits_for_run,
            undelivered=[
                Undelivered(
                    url=site_of(one.endpoint),
                    event=f"run.{one.status}",
                    at=one.at,
                    attempts=one.attempts,
                    failure=one.failure,
                    given_up=bool(one.given_up),
                )
                for one in undelivered
            ],
        )

    async def waits_for_run(self, state: RunState) -> WaitsFor | None:
        """The run of its thread that one waits for which has not begun, and is not queued."""
        run_id = state["run_id"]
        if state["status"] != "pending":
            return None
        if self._storage.fleet is None and await self.position(run_id) is not None:
            return None
        head = await self._storage.threads.head(state.get("thread_id", run_id))
        if head is None or head.run_id == run_id:
            return None
        before = await self.kept(head.run_id) if head.status == "waiting" else None
        return waiting_for(head.run_id, head.status, before)

    async def kept(self, run_id: str) -> RunState | None:
        """The state of a run as last stored, None where none is. Raises what the storage raises."""
        if state := self._live.state(run_id) or self._settled.state(run_id):
            return state
        snapshot = await self.graph.aget_state(thread(run_id))
        return whole(snapshot.values) if snapshot.created_at else None

    async def learned(self, state: RunState) -> Learned | None:
        """What was learned of the step in doubt that a run asks about, since it asks."""
        question = question_of(state)
        row = await self._storage.index.find(state["run_id"]) if question else None
        return learned_of(question, row.learned) if question and row else None

    async def blob(self, run_id: str, n: int, name: str, owner: str | None) -> Blob | None:
        """The bytes of this name that the n-th attempt of a run has returned, or None.

        What a fork has taken over is kept by its origin. Raises what `admitted` raises.
        """
        state = await self.admitted(run_id, owner)
        made = attempts(state)[n - 1 : n]
        while made:
            of: RunState = {**state, "generation": made[0]["generation"]}
            key = step_key(of, made[0]["step"])
            with self._storage.available():
                blob = await find_blob(self._storage.store, state["owner"], key, name)
            if blob is not None or not (fork := state.get("forked_from")):
                return blob
            try:
                state = await self.state(fork["run_id"])
            except RunNotFound:  # it was removed meanwhile
                return None
        return None

    async def is_queued(self, run_id: str) -> bool:
        """Whether it waits to begin, in the queue or behind another run of its thread."""
        live = self._live.get(run_id)
        parked = live is not None and live in self._executor.parked
        return parked or await self.position(run_id) is not None

    async def position(self, run_id: str, status: Status = "pending") -> int | None:
        """The place of a run in the queue, counted from 1; None when it is not queued.

        Only a `pending` one can be. Raises what the storage raises.
        """
        live = self._live.get(run_id)
        if self._storage.fleet is None or (live and live.queued):
            return self._executor.position(live) if live else None
        return await self._storage.fleet.jobs.position(run_id) if status == "pending" else None


class AuditTrail:
    """What was done with the runs of an owner; an `owner` of None is told of all."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def page(
        self, query: AuditQuery, *, owner: str | None, limit: int, cursor: str | None = None
    ) -> AuditPage:
        """The entries that are asked for, from beyond the page whose `next_cursor` this is.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        # What cursors are bound to: a search of runs that cannot be.
        search, whose = Search(thread_id="", text=repr(query)), owner or ""
        before = None if cursor is None else decode(cursor, search, owner=whose).number
        with self._storage.available():
            found, more = await self._storage.audit.page(owner, query, limit=limit, before=before)
        after = Position(key=None, number=more) if more is not None else None
        return AuditPage(
            entries=[*found],
            next_cursor=encode(after, search, owner=whose) if after else None,
        )


def _is_run_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


class Orders(Protocol):
    """Carries out what was ordered of runs, and stored before, here or elsewhere."""

    async def cancel(self, run_id: str) -> None:
        """As `Runner.cancel`."""

    async def decide(self, run_id: str) -> None:
        """As `Runner.decide`."""

    async def hurry(self, run_id: str) -> bool:
        """As `Runner.hurry`."""


@dataclass(frozen=True)
class RunContext:
    """One graph over one storage, the executor of its runs, and how they stand.

    `live` knows how they stand in this process, `settled` those that have ended of late; `reader`
    tells it to callers and `broadcaster` to who watches. `thread_queues` has those of one thread
    one after the other, and `conversations` has what went before. `make_context` makes one.
    """

    graph: RunGraph
    storage: Storage
    executor: Executor
    tools: Mapping[str, Tool]
    threads: ToolThreads
    doubts: DoubtGate
    live: LiveRuns
    settled: SettledRuns
    reader: RunReader
    broadcaster: Broadcaster
    thread_queues: ThreadQueues
    conversations: Conversations

    def check_ready(self) -> None:
        """Raises `NotAccepting` unless orders are taken, and `StorageUnavailable` over a damaged
        storage, which may take what it cannot give back."""
        if not self.executor.ready:
            raise NotAccepting
        self.storage.faults.refuse_damaged()


def make_context(
    graph: RunGraph,
    storage: Storage,
    executor: Executor,
    tools: Mapping[str, Tool],
    threads: ToolThreads | None = None,
    doubts: DoubtGate | None = None,
    settled: SettledRuns | None = None,
    live: LiveRuns | None = None,
    observe: Observe | None = None,
    characters: int = THREAD_CONTEXT,
) -> RunContext:
    """A context that has no runs yet; the graph is one over this storage, with these tools.

    `threads` are those in which the graph calls blocking tools, `doubts` says which of its calls
    leave a receipt when they are begun. `settled` are kept in memory where nobody edits states by
    hand. `live` are those that the graph tells the progress of. `observe` is shown what is stored.
    So many `characters` of what went before in its thread a run is given.
    """
    live = LiveRuns() if live is None else live  # an empty one counts
    settled = settled or SettledRuns()
    reader = RunReader(graph, storage, live, executor, settled)
    return RunContext(
        graph=graph,
        storage=storage,
        executor=executor,
        tools=tools,
        threads=threads or ToolThreads(),
        doubts=doubts or DoubtGate(),
        live=live,
        settled=settled,
        reader=reader,
        broadcaster=Broadcaster(reader.state, live, settled, observe),
        thread_queues=ThreadQueues(storage, executor),
        conversations=Conversations(storage, reader.kept, characters),
    )


class LateCalls:
    """Stores how calls ended that runs had left to themselves, for who decides about them."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._writing: set[asyncio.Task[None]] = set()

    def learn(self, run_id: str, learned: Learned) -> None:
        """Store it soon."""
        writing = asyncio.create_task(self._write(run_id, learned))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, run_id: str, learned: Learned) -> None:
        try:
            await self._storage.index.note_learned(run_id, learned)
        except self._storage.errors as error:
            self._storage.faults.tell(error)
