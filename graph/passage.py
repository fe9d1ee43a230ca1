"""A run's passage through the graph, from its last checkpoint to where it ends or is drained."""

from collections.abc import Awaitable, Callable
from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import RunControl

from graph.build import RunGraph
from graph.live import Live
from graph.projection import Projection
from graph.state import RunState

#: The key under which LangGraph tells with a state that a node waits for an answer.
INTERRUPT = "__interrupt__"


class Passage:
    """Lets the graph go on with runs, and shows each of their states once it is stored."""

    def __init__(self, graph: RunGraph, live: Live, projection: Projection) -> None:
        self._graph = graph
        self._live = live
        self._projection = projection
        self._control = RunControl()

    def drain(self) -> None:
        """Let no run go on past the step that it is at; it raises `GraphDrained` then."""
        self._control.request_drain()

    async def go_on(
        self, config: RunnableConfig, got_on: Callable[[], Awaitable[None]] | None = None
    ) -> RunState | None:
        """Let the graph go on from its last checkpoint until it ends; the state there.

        `got_on` is called once, when there is a new checkpoint.
        """
        latest: RunState | None = None
        announced = False
        try:
            parts = self._graph.astream(
                None,
                config,
                stream_mode=["values", "tasks"],
                durability="sync",
                control=self._control,
            )
            async for mode, part in parts:
                if mode == "values":
                    if INTERRUPT in part:
                        continue  # the state before it, told again
                    latest = cast("RunState", part)
                elif latest and "result" not in part and latest["status"] == "running":
                    # A node begins: by now the state before it is stored, and may be shown.
                    self._live.states[latest["run_id"]] = latest
                    if not announced:
                        announced = True
                        await self._projection.write(latest)
                        continue
                    self._projection.publish(latest)
                    if got_on is not None:
                        await got_on()
                        got_on = None
            return latest
        finally:
            self._live.states.pop(config["configurable"]["thread_id"], None)
