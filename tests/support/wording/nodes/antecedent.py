"""What a word for something said before could not be, after whatever the last run returned."""

from collections.abc import Mapping
from typing import Any

from graph.state import Conversation, Status
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools

_TODO = {"id": "1", "text": "<text>"}

#: By key: what is said, the tool of the last run's last step, and its output.
_SAID: Mapping[str, tuple[str, str, Any]] = {
    "value": ("delete it", "calculator", 42),
    "value.long": ("delete it", "calculator", "1" * 61),
    "yes": ("double it", "todo_store.list", True),
    "no": ("double it", "todo_store.list", False),
    "text": ("double it", "own", "words"),
    "record": ("double it", "own", {"a": 1}),
    "values": ("double it", "own", [1, 2]),
    "todo": ("double it", "todo_store.add", _TODO),
    "todo.long": ("double it", "todo_store.add", _TODO | {"text": "x" * 61}),
    "todo.several": ("delete them", "todo_store.add", _TODO),
    "todo.both": ("delete both", "todo_store.add", _TODO),
    "todo.deleted": ("add it back", "todo_store.add", _TODO),
    "todos": ("delete it", "todo_store.list", [_TODO] * 2),
    "todos.place": ("delete the third one", "todo_store.list", [_TODO] * 2),
    "todos.none": ("delete them all", "todo_store.list", []),
    "deleted": ("delete it", "todo_store.delete", _TODO),
    "deleted.several": ("delete it", "todo_store.delete", [_TODO] * 2),
    "place": ("delete task 2", "todo_store.complete", _TODO),
    "twice": ("delete it, then show my list", "calculator", 42),
}
_ENDED: Mapping[str, Status] = {
    "failed": "failed",
    "cancelled": "cancelled",
    "nothing": "completed",
}


def messages() -> Mapping[str, str]:
    planner = PatternPlanner(make_tools(BUILTIN))

    def told(prompt: str, status: Status, last: Any) -> str:
        turn: Any = {"status": status}
        conversation = Conversation(turns=[turn], left_out=0, last=last)
        return planner.read(prompt, conversation).reason or "(none)"

    returned = {
        key: told(prompt, "completed", {"run_id": "r", "tool": used, "output": output})
        for key, (prompt, used, output) in _SAID.items()
    }
    return returned | {key: told("double it", status, None) for key, status in _ENDED.items()}
