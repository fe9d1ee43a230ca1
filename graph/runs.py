"""The life of a run: accepted, executed, read, taken up again, settled."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph
from graph.cancelling import Canceller
from graph.cursor import decode
from graph.driver import Driver
from graph.executor import Executor
from graph.feeds import Feeds
from graph.index import RunRow
from graph.record import Page, Record, Summary, page_of, record_of, state_of, summary_of
from graph.request_key import RequestKey, refuse_second
from graph.search import Search
from graph.state import Budget, Limits, RunState, Status
from graph.status import SETTLED, may_become
from graph.storage import Storage
from nodes.plan import prompt_error
from nodes.planning.roster import Roster
from tools.registry import Tool
from tools.threads import ToolThreads

logger = logging.getLogger("runwright.runs")

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


class RunNotFound(Exception):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class AlreadySettled(Exception):
    """What was asked for does not go with how the run has ended."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status}")
        self.run_id = run_id
        self.status = status


class PromptRejected(Exception):
    """A prompt that cannot become a run; the message says what would be right."""


class NotAccepting(Exception):
    """The process is ending and takes no further runs."""


class StorageUnavailable(Exception):
    """The storage cannot be read or written just now; the same call may succeed later."""


class Runs:
    """Everything that can be done with runs, over one graph and one storage."""

    def __init__(
        self,
        graph: RunGraph,
        storage: Storage,
        tools: Mapping[str, Tool],
        limits: Limits,
        executor: Executor,
        roster: Roster | None = None,
        threads: ToolThreads | None = None,
    ) -> None:
        self.graph = graph
        self._reading = graph.copy({"checkpointer": storage.reader})
        self._storage = storage
        self.tools = tools
        self._limits = limits
        self._executor = executor
        self._roster = roster
        self.feeds = Feeds(self._state)
        self._driver = Driver(
            graph,
            storage,
            executor,
            canceller=Canceller(graph, tools, threads),
            publish=self.feeds.publish,
            models=len(roster.models) if roster else 0,
        )
        self.ready = False

    async def open(self, *, take_up: bool) -> None:
        """Begin to execute; with `take_up` also every run that an earlier process left."""
        left = await self._storage.index.unsettled() if take_up else []
        for row in left:
            if row.cancel_at is not None:
                await self._driver.cancel_left(row.run_id)
        waiting = [row for row in left if row.cancel_at is None]
        self._driver.expect(waiting)
        # First those that were started before and got no further.
        for row in sorted(waiting, key=lambda row: row.checkpoint_id is None):
            self._executor.enqueue(row.run_id, row.owner)
        self._executor.start(self._driver.execute)
        self.ready = True

    async def close(self, grace: float) -> None:
        """Accept nothing more, let attempts in flight end for `grace` seconds, leave the rest.

        What is left goes on from its last checkpoint at the next start. Who watches is let go.
        """
        self.ready = False
        self._driver.drain()
        await self._executor.stop(grace)
        await self._driver.close()
        self.feeds.close()

    async def start(
        self,
        prompt: str,
        *,
        owner: str = "default",
        budget: Budget | None = None,
        key: RequestKey | None = None,
    ) -> Record:
        """Accept a task; it is on disk when this returns, and executed soon after.

        Raises `PromptRejected`, `QueueFull`, `StorageUnavailable`, and `NotAccepting` while the
        process is ending. With a key that the owner has used before it raises `AlreadyAccepted` or
        `KeyReused`.
        """
        if not self.ready:
            raise NotAccepting
        if key is not None:
            with self._available():
                first = await self._storage.index.find_key(owner, key.name, at=time.time())
            if first is not None:  # whatever else stands in the way of a new run
                refuse_second(first, key)
        if reason := prompt_error(prompt, self._limits["max_prompt"]):
            raise PromptRejected(reason)
        row = RunRow(
            run_id=str(uuid4()),
            owner=owner,
            prompt=prompt,
            limits=self._limits,
            created_at=time.time(),
            budget=budget,
        )
        # Shielded from a caller who goes away: what is stored is executed.
        return await asyncio.shield(self._accept(row, key))

    async def _accept(self, row: RunRow, key: RequestKey | None) -> Record:
        with self._executor.place(), self._available():
            if key is None:
                await self._storage.index.accept(row)
            else:
                first = await self._storage.index.accept_once(row, key)
                if first.run_id != row.run_id:  # another request with the key came between
                    refuse_second(first, key)
        logger.info("run accepted", extra={"run_id": row.run_id})
        logger.debug("run prompt", extra={"run_id": row.run_id, "prompt": row.prompt})
        self._driver.accepted[row.run_id] = row
        self._executor.enqueue(row.run_id, row.owner)
        self.feeds.publish(state_of(row))
        return self._record(state_of(row))

    async def get(self, run_id: str) -> Record:
        """The record of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        return self._record(await self._state(run_id))

    async def wait(self, run_id: str, timeout: float) -> Record:
        """The record of a run once it rests, or as it is after `timeout` seconds.

        Raises `RunNotFound` and `StorageUnavailable`.
        """
        async with self.feeds.watching(run_id) as feed:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await feed.rest()
            assert feed.state is not None
            return self._record(feed.state)

    async def cancel(self, run_id: str, *, by: str) -> Record:
        """Cancel a run; its record, which tells what was done and what was not.

        A run that is cancelled already is left as it is. Raises `RunNotFound`, `AlreadySettled`
        and `StorageUnavailable`; after the last one the run is cancelled as soon as the storage
        answers, if the request was stored. Raises `NotAccepting` while the process is ending.
        """
        state = await self._state(run_id)
        if may_become(state["status"], "cancelled"):
            if not self.ready:
                raise NotAccepting
            # Shielded from a caller who goes away: once the mark is stored, the act follows.
            await asyncio.shield(self._stop(run_id, by))
            state = await self._state(run_id)
        if state["status"] not in SETTLED:
            raise StorageUnavailable
        if state["status"] != "cancelled":
            raise AlreadySettled(run_id, state["status"])
        return self._record(state)

    async def _stop(self, run_id: str, by: str) -> None:
        with self._available():
            await self._storage.index.request_cancel(run_id, at=time.time(), by=by)
        await self._driver.cancel(run_id)

    async def _state(self, run_id: str) -> RunState:
        """The state of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        if not _is_run_id(run_id):
            raise RunNotFound(run_id)
        if row := self._driver.accepted.get(run_id):
            return state_of(row)
        if state := self._driver.live.get(run_id):
            return state
        with self._available():
            snapshot = await self._reading.aget_state(_thread(run_id))
            if snapshot.created_at:
                return cast("RunState", snapshot.values)
            found = await self._storage.index.find(run_id)
        if found is None:
            raise RunNotFound(run_id)
        return state_of(found)

    def _record(self, state: RunState) -> Record:
        return record_of(state, queue_position=self._executor.position(state["run_id"]))

    async def newest(self, limit: int = 50) -> list[Summary]:
        """The latest accepted runs, newest first. Raises `StorageUnavailable`."""
        with self._available():
            return [summary_of(row) for row in await self._storage.index.newest(limit)]

    async def search(self, owner: str, search: Search, cursor: str | None = None) -> Page:
        """The runs of an owner that match, from where `cursor` says.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        if cursor is not None:
            search = replace(search, after=decode(cursor, search, owner=owner))
        with self._available():
            found = await self._storage.index.search(owner, search)
        return page_of(found, search, owner=owner)

    def mermaid(self) -> str:
        """The graph as a mermaid drawing."""
        return self.graph.get_graph().draw_mermaid()

    def models_state(self) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does; empty without models."""
        return self._roster.breaker.state() if self._roster else {}

    async def storage_state(self) -> dict[str, object]:
        """The backend, and whether it can be written just now."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.index.check()
        except unavailable as error:
            logger.warning("storage cannot be written: %s", error or type(error).__name__)
            return {"backend": self._storage.backend, "writable": False}
        return {"backend": self._storage.backend, "writable": True}

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except self._storage.errors as error:
            logger.warning("storage does not answer", exc_info=True)
            raise StorageUnavailable from error


def _thread(run_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id}}


def _is_run_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
