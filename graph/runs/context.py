"""What everything that is done with runs works on, in one process."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graph.build import RunGraph
from graph.queue.executor import Executor
from graph.runs.live import Broadcaster, LiveRuns
from graph.runs.reader import RunReader
from graph.state import Approve, Limits, RunState
from graph.state.row import facts_of
from graph.state.status import SETTLED, SETTLED_OR_WAITING
from graph.storage.storage import Storage
from nodes.approval.asking import EXPIRES
from tools.registry import Tool
from tools.threads import ToolThreads


@dataclass(frozen=True)
class RunContext:
    """One graph over one storage, the executor of its runs, and how they stand.

    `live` knows how they stand in this process; `reader` tells it to callers and `broadcaster` to
    who watches. `make_context` makes one.
    """

    graph: RunGraph
    storage: Storage
    executor: Executor
    tools: Mapping[str, Tool]
    threads: ToolThreads
    live: LiveRuns
    reader: RunReader
    broadcaster: Broadcaster


def make_context(
    graph: RunGraph,
    storage: Storage,
    executor: Executor,
    tools: Mapping[str, Tool],
    threads: ToolThreads | None = None,
) -> RunContext:
    """A context that has no runs yet; the graph is one over this storage, with these tools.

    `threads` are those in which the graph calls blocking tools.
    """
    live = LiveRuns()
    reader = RunReader(graph, storage, live, executor)
    return RunContext(
        graph=graph,
        storage=storage,
        executor=executor,
        tools=tools,
        threads=threads or ToolThreads(),
        live=live,
        reader=reader,
        broadcaster=Broadcaster(reader.state, live),
    )


@dataclass(frozen=True)
class RunPolicy:
    """The limits of every run, whether its plan is asked about, and for how many seconds."""

    limits: Limits
    approve: Approve = "never"
    approval_expires: float = EXPIRES


logger = logging.getLogger("runwright.runs")


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
        status = state["status"]
        if (approval := state.get("approval")) and status == "waiting":
            # Before it is seen to wait, so that none waits for ever.
            await self._storage.index.note_expiry(state["run_id"], approval["expires_at"])
        changed = await self._storage.index.project(
            state["run_id"],
            status,
            started_at=state["started_at"],
            completed_at=state["completed_at"],
            facts=facts_of(state),
            generation=state["generation"],
        )
        if (live := self._live.get(state["run_id"])) and status in SETTLED_OR_WAITING:
            live.unsettled = False
        self.publish(state)
        if changed:
            error = state["error"] if status in SETTLED else None
            logger.info(
                "run %s",
                status,
                extra={"run_id": state["run_id"], "error": error and error["type"]},
            )
