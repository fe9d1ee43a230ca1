"""Runs, threads and states as the protocol has them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from langgraph.types import StateSnapshot

from api.errors.kinds import unprocessable
from api.lg.messages import Message
from api.lg.questions import question
from graph.state import RunState, Status, split, whole
from graph.state.wording import rfc3339
from tools.registry import Tool

#: The name of the graph, and the id of the one assistant that there is of it: the same on every
#: server, as LangGraph's makes it.
GRAPH = "runwright"
ASSISTANT_ID = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), GRAPH))

#: What every run and thread is known by beside what its caller gives.
OURS = {"graph_id": GRAPH, "assistant_id": ASSISTANT_ID}

RUN_STATUS: Mapping[Status, str] = {
    "pending": "pending",
    "running": "running",
    "waiting": "interrupted",
    "completed": "success",
    "failed": "error",
    "cancelled": "interrupted",
}

#: How a thread stands whose last, or unsettled, run stands so.
THREAD_STATUS: Mapping[Status, str] = {
    "pending": "busy",
    "running": "busy",
    "waiting": "interrupted",
    "completed": "idle",
    "failed": "error",
    "cancelled": "idle",
}

_NO_SUBGRAPH = {"checkpoint_ns": ""}


def values_of(
    state: RunState, messages: Sequence[Message], tools: Mapping[str, Tool] | None = None
) -> dict[str, Any]:
    """The values of a thread at a state of one of its runs, with the thread's messages.

    With the `tools` a run that asks a person tells its question, as streams have it.
    """
    values = {**split(state), "messages": [*messages]}
    if tools is not None and (asked := question(state, tools)):
        values["__interrupt__"] = [asked]
    return values


def run_of(run: Mapping[str, Any], *, cancel_reason: str | None = None) -> dict[str, Any]:
    """A run, of its record or of a list's row."""
    changed = run["completed_at"] or run["started_at"] or run["created_at"]
    return {
        "run_id": run["run_id"],
        "thread_id": run["thread_id"],
        "assistant_id": ASSISTANT_ID,
        "created_at": rfc3339(run["created_at"]),
        "updated_at": rfc3339(changed),
        "status": RUN_STATUS[run["status"]],
        "metadata": {**(run.get("metadata") or {}), **OURS},
        "multitask_strategy": "enqueue",
        "kwargs": {"input": {"prompt": run["prompt"]}},
        "cancel_reason": cancel_reason,
    }


def cancel_reason_of(state: Mapping[str, Any]) -> str | None:
    """Why a run was cancelled; None of any other."""
    error = state.get("error")
    if state["status"] != "cancelled" or not error:
        return None
    return f"{error['type']}: {error['message']}"


def error_of(state: RunState) -> dict[str, str] | None:
    """Why a run has failed, as streams and waits tell it; None of any other."""
    error = state["error"]
    if state["status"] != "failed" or not error:
        return None
    return {"error": error["type"], "message": error["message"]}


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


def thread_view(
    thread_id: str,
    metadata: Mapping[str, str],
    *,
    created_at: float,
    updated_at: float,
    status: Status | None,
    state: RunState | None,
    messages: Sequence[Message] = (),
    tools: Mapping[str, Tool] | None = None,
) -> dict[str, Any]:
    """A thread; `state` is that of the run that it is at, None where it has none."""
    asked = question(state, tools) if state and tools is not None else None
    task = str(uuid5(NAMESPACE_DNS, f"{thread_id} {asked['id']}")) if asked else ""
    return {
        "thread_id": thread_id,
        "created_at": rfc3339(created_at),
        "updated_at": rfc3339(updated_at),
        "state_updated_at": rfc3339(updated_at),
        "metadata": {**metadata, **(OURS if status else {})},
        "status": THREAD_STATUS[status] if status else "idle",
        "config": {},
        "values": values_of(state, messages) if state else None,
        "interrupts": {task: [asked]} if asked else {},
        "error": error_of(state) if state else None,
    }


def selected(view: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """Of a view only these parts; `values.name` is one of its values. Raises `Unprocessable`."""
    if not names:
        return view
    found: dict[str, Any] = {}
    for name in names:
        field, _, part = name.partition(".")
        if field not in view or (part and field != "values"):
            known = ", ".join(view)
            raise unprocessable("select", f"{name[:60]!r} is none of {known}, values.<name>")
        if not part:
            found[field] = view[field]
        elif part in (view[field] or {}):
            found.setdefault(field, {})[part] = view[field][part]
        else:
            found.setdefault(field, {})
    return found
