"""What a run does, for who looks into it: its tasks and checkpoints, and both as `debug` has them.

A task begins with the checkpoint that it is due at, and has ended with the next one, so that this,
too, is told again from the checkpoints under the same ids.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from api.lg.frames import Frame, Position
from graph.state import RunState
from graph.state.wording import rfc3339

#: What of the modes this tells.
LOOKING = frozenset({"tasks", "debug", "checkpoints"})

#: Places of what is told at one number of events: after the values there.
_RESULT, _CHECKPOINT, _TASK, _ASKED = 902, 904, 906, 908

#: The node that every run begins with; of an accepted run, no checkpoint has it as a task.
_FIRST = "plan"

View = Mapping[str, Any]


def told_of(
    modes: Collection[str], number: int, state: RunState, older: View | None, view: View | None
) -> Iterator[Frame]:
    """What is told of a state with so many events, whose checkpoint this is, and of the one before.

    None of a run that was accepted, and has no checkpoint as yet.
    """
    metadata = (view or {}).get("metadata") or {}
    step = metadata.get("step", -1)
    at = view["created_at"] if view else rfc3339(state["created_at"])
    for place, kind, payload in _happened(state, older, view):
        mode = "checkpoints" if kind == "checkpoint" else "tasks"
        if mode in modes:
            yield Frame(mode, payload, Position(number, place))
        if "debug" in modes:
            entry = {"type": kind, "step": step, "timestamp": at, "payload": payload}
            yield Frame("debug", entry, Position(number, place + 1))


def _happened(
    state: RunState, older: View | None, view: View | None
) -> Iterator[tuple[int, str, View]]:
    """What happened with a checkpoint, in order: its place, its kind as `debug` says it, and it."""
    for task in _ended(state, older, view):
        yield _RESULT, "task_result", task
    if view:
        yield _CHECKPOINT, "checkpoint", _checkpoint(view)
    for task in view["tasks"] if view else [_first(state)]:
        begun = {
            **{name: task[name] for name in ("id", "name")},
            "input": _input(view) if view else {"prompt": state["prompt"]},
            "triggers": [f"branch:to:{task['name']}"],
        }
        yield _TASK, "task", begun
        if view and view["interrupts"]:
            yield _ASKED, "task_result", _result(task, None, view["interrupts"])


def _ended(state: RunState, older: View | None, view: View | None) -> Iterator[View]:
    """The tasks that led to a checkpoint, and what they changed; none led to an edited one."""
    if view is None or view["metadata"].get("source") != "loop":
        return
    if older is None:
        yield _result(_first(state), _input(view), [])
        return
    for task in older["tasks"]:
        before = _input(older)
        changed = {name: one for name, one in _input(view).items() if before.get(name) != one}
        yield _result(task, changed, [])


def _first(state: RunState) -> View:
    place = f"{state['run_id']} {state['generation']} {_FIRST}"
    return {"id": str(uuid5(NAMESPACE_URL, place)), "name": _FIRST}


def _result(task: View, result: Any, asked: Sequence[Any]) -> View:
    return {
        "id": task["id"],
        "name": task["name"],
        "error": None,
        "result": result or {},
        "interrupts": asked,
    }


def _input(view: View) -> dict[str, Any]:
    return {name: value for name, value in view["values"].items() if name != "messages"}


def _checkpoint(view: View) -> View:
    """The state as it was when it was stored: nothing had come of its tasks by then."""
    names = ("values", "next", "metadata", "checkpoint", "parent_checkpoint")
    tasks = [{**task, "result": None, "error": None} for task in view["tasks"]]
    config, parent = (
        place and {"configurable": place}
        for place in (view["checkpoint"], view["parent_checkpoint"])
    )
    return {
        **{name: view[name] for name in names},
        "tasks": tasks,
        "config": config,
        "parent_config": parent,
    }
