"""The life of a run: accepted, executed, read, taken up again, settled."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from graph.build import RunGraph, recursion_limit
from graph.executor import Executor
from graph.index import RunRow
from graph.record import Record, Summary, record_of, record_of_accepted, state_of, summary_of
from graph.state import Limits, RunState
from graph.status import SETTLED
from graph.storage import Storage
from graph.take_up import fail, take_up
from nodes.plan import prompt_error
from tools.registry import Tool

logger = logging.getLogger("runwright.runs")

#: Longest wait between two tries to go on while the storage does not answer, in seconds.
MAX_STORAGE_WAIT = 30.0


class RunNotFound(Exception):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


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
    ) -> None:
        self.graph = graph
        self._reading = graph.copy({"checkpointer": storage.reader})
        self._storage = storage
        self.tools = tools
        self._limits = limits
        self._executor = executor
        self._control = RunControl()
        self._accepted: dict[str, RunRow] = {}  # queued here, not yet begun
        self._live: dict[str, RunState] = {}  # executing here, as last stored
        self.ready = False

    async def open(self, *, take_up: bool) -> None:
        """Begin to execute; with `take_up` also every run that an earlier process left."""
        if take_up:
            for row in await self._storage.index.unsettled():
                self._executor.enqueue(row.run_id)
        self._executor.start(self.execute)
        self.ready = True

    async def close(self, grace: float) -> None:
        """Accept nothing more, let attempts in flight end for `grace` seconds, leave the rest.

        What is left goes on from its last checkpoint at the next start.
        """
        self.ready = False
        self._control.request_drain()
        await self._executor.stop(grace)

    async def start(self, prompt: str, *, owner: str = "default") -> Record:
        """Accept a task; it is on disk when this returns, and executed soon after.

        Raises `PromptRejected`, `QueueFull`, `StorageUnavailable`, and `NotAccepting` while the
        process is ending.
        """
        if not self.ready:
            raise NotAccepting
        if reason := prompt_error(prompt, self._limits["max_prompt"]):
            raise PromptRejected(reason)
        self._executor.check_room()
        row = RunRow(
            run_id=str(uuid4()),
            owner=owner,
            prompt=prompt,
            limits=self._limits,
            created_at=time.time(),
        )
        with self._available():
            await self._storage.index.accept(row)
        logger.info("run accepted", extra={"run_id": row.run_id})
        logger.debug("run prompt", extra={"run_id": row.run_id, "prompt": prompt})
        self._accepted[row.run_id] = row
        self._executor.enqueue(row.run_id)
        return record_of_accepted(row, self._executor.position(row.run_id))

    async def get(self, run_id: str) -> Record:
        """The record of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        if not _is_run_id(run_id):
            raise RunNotFound(run_id)
        if row := self._accepted.get(run_id):
            return record_of_accepted(row, self._executor.position(run_id))
        if state := self._live.get(run_id):
            return record_of(state)
        with self._available():
            snapshot = await self._reading.aget_state(self._config(run_id))
            if snapshot.created_at:
                return record_of(cast("RunState", snapshot.values))
            found = await self._storage.index.find(run_id)
        if found is None:
            raise RunNotFound(run_id)
        return record_of_accepted(found, self._executor.position(run_id))

    async def newest(self, limit: int = 50) -> list[Summary]:
        """The latest accepted runs, newest first. Raises `StorageUnavailable`."""
        with self._available():
            return [summary_of(row) for row in await self._storage.index.newest(limit)]

    def mermaid(self) -> str:
        """The graph as a mermaid drawing."""
        return self.graph.get_graph().draw_mermaid()

    async def storage_state(self) -> dict[str, object]:
        """The backend, and whether it can be written just now."""
        try:
            await self._storage.index.check()
        except self._storage.errors as error:
            logger.warning("storage cannot be written: %s", error)
            return {"backend": self._storage.backend, "writable": False}
        return {"backend": self._storage.backend, "writable": True}

    async def execute(self, run_id: str) -> None:
        """Drive a run until it is settled or the process ends; a settled run is left alone.

        While the storage does not answer it tries again, without a slot, for as long as it takes.
        """
        attempt = self._advance
        delay = 0.5
        while True:
            try:
                state = await attempt(run_id)
                if state is not None:
                    await self._project(state)
                return
            except GraphDrained:
                return
            except self._storage.errors:
                logger.warning("storage does not answer", extra={"run_id": run_id}, exc_info=True)
                await self._executor.wait_until(time.time() + delay)
                delay = min(delay * 2, MAX_STORAGE_WAIT)
            except Exception:
                if attempt == self._settle_broken:
                    raise
                logger.exception("run broke", extra={"run_id": run_id})
                attempt = self._settle_broken

    async def _advance(self, run_id: str) -> RunState | None:
        """Begin or take up a run and drive it on; its state where that ended."""
        config = self._config(run_id)
        if row := self._accepted.pop(run_id, None):
            await self.graph.aupdate_state(config, state_of(row), as_node="__start__")
            return await self._drive(config)
        found = await self._storage.index.find(run_id)
        if found is None:
            return None
        taken = await take_up(self.graph, self._storage.index, found, config)
        if taken.next == "settled":
            return taken.state
        logger.info("run taken up", extra={"run_id": run_id})
        return await self._drive(config)

    async def _drive(self, config: RunnableConfig) -> RunState | None:
        """Let the graph go on from its last checkpoint until it ends."""
        latest: RunState | None = None
        announced = False
        try:
            async for mode, part in self.graph.astream(
                None,
                config,
                stream_mode=["values", "tasks"],
                durability="sync",
                control=self._control,
            ):
                if mode == "values":
                    latest = cast("RunState", part)
                elif latest and "result" not in part and latest["status"] == "running":
                    # A node begins: by now the state before it is stored, and may be shown.
                    self._live[latest["run_id"]] = latest
                    if not announced:
                        announced = True
                        await self._project(latest)
            return latest
        finally:
            self._live.pop(config["configurable"]["thread_id"], None)

    async def _project(self, state: RunState) -> None:
        status = state["status"]
        changed = await self._storage.index.project(
            state["run_id"],
            status,
            started_at=state["started_at"],
            completed_at=state["completed_at"],
        )
        if changed:
            error = state["error"] if status in SETTLED else None
            logger.info(
                "run %s",
                status,
                extra={"run_id": state["run_id"], "error": error and error["type"]},
            )

    async def _settle_broken(self, run_id: str) -> RunState:
        reason = f"an internal error; the server's log has it under run {run_id}"
        return await fail(self.graph, self._config(run_id), "internal", reason)

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except self._storage.errors as error:
            logger.warning("storage does not answer", exc_info=True)
            raise StorageUnavailable from error

    def _config(self, run_id: str) -> RunnableConfig:
        return {
            "configurable": {"thread_id": run_id},
            "recursion_limit": recursion_limit(self._limits),
        }


def _is_run_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
