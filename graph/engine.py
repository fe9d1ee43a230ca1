"""The engine: what every order about runs works on, in one process."""

from collections.abc import Mapping
from dataclasses import dataclass

from graph.build import RunGraph
from graph.feeds import Feeds
from graph.live import Live
from graph.queue.executor import Executor
from graph.reader import RunReader
from graph.storage.storage import Storage
from tools.registry import Tool
from tools.threads import ToolThreads


@dataclass(frozen=True)
class Engine:
    """One graph over one storage, the executor of its runs, and how they stand.

    `live` knows how they stand in this process; `reader` tells it to callers and `feeds` to who
    watches. `make_engine` makes one.
    """

    graph: RunGraph
    storage: Storage
    executor: Executor
    tools: Mapping[str, Tool]
    threads: ToolThreads
    live: Live
    reader: RunReader
    feeds: Feeds


def make_engine(
    graph: RunGraph,
    storage: Storage,
    executor: Executor,
    tools: Mapping[str, Tool],
    threads: ToolThreads | None = None,
) -> Engine:
    """An engine that has no runs yet; the graph is one over this storage, with these tools.

    `threads` are those in which the graph calls blocking tools.
    """
    live = Live()
    reader = RunReader(graph, storage, live, executor)
    return Engine(
        graph=graph,
        storage=storage,
        executor=executor,
        tools=tools,
        threads=threads or ToolThreads(),
        live=live,
        reader=reader,
        feeds=Feeds(reader.state),
    )
