"""The events of a run for whoever streams the graph itself in the mode `custom`."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from graph.events import Event, events
from graph.state import RunState, extend

#: A node as it is added to the graph.
Node = Callable[..., Awaitable[dict[str, Any]]]

#: What reading a state may raise that a person has edited into no run at all.
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def telling(node: Node) -> Node:
    """The node, telling at its end what has happened since its beginning.

    The events are those of the record, under the same numbers. They are told just before the
    checkpoint is stored, as all that LangGraph streams from inside of a node.
    """
    takes_runtime = "runtime" in inspect.signature(node).parameters

    async def visit(state: RunState, runtime: Runtime[None]) -> dict[str, Any]:
        update = await (node(state, runtime) if takes_runtime else node(state))
        for event in _news(state, update):
            runtime.stream_writer(event)
        return update

    return visit


def _news(state: RunState, update: dict[str, Any]) -> list[Event]:
    after = cast("RunState", {**state, **update, "log": _log(state, update)})
    try:
        goes_on = state.get("run_id") == after["run_id"]
        return events(after)[len(events(state)) if goes_on else 0 :]
    except _UNREADABLE:
        return []


def _log(state: RunState, update: dict[str, Any]) -> list[Any]:
    written = update.get("log", [])
    if isinstance(written, Overwrite):
        return list(written.value)
    return extend(state.get("log", []), [written])
