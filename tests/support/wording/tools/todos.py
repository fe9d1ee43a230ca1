"""What the to-do tools say of what they cannot do."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langgraph.store.memory import InMemoryStore

from tests.support.wording.messages import refusal
from tools import todos
from tools.registry import ToolCall, ToolError
from tools.todos import Todo, choose, choose_several, having


def record(text: str, *, completed: bool = False) -> Todo:
    """A to-do whose id is made from its words."""
    return Todo(
        id=str(uuid5(NAMESPACE_OID, text)),
        text=text,
        completed=completed,
        created_at="2026-01-01T00:00:00.000000Z",
        updated_at="2026-01-01T00:00:00.000000Z",
        completed_at=None,
    )


LIST = [record(text) for text in ("Buy milk", "call Bob", "2", "pay rent", "rent a car")]

#: What names none of these.
_WANTED = {
    "unnamed": "",
    "unknown": "first last",
    "unknown.near": "rent",
    "unknown.digit": "٢",
    "unknown.long": "x" * 5_000,
    "unknown.joined": "todo14",
    "place": "#6",
    "place.minus": "-1",
    "place.end": "sixth from last",
    "place.end.zero": "0th to last",
    "place.zero": "0",
    "place.word": "the twentieth",
}

_TEXTS = {"empty": " \n", "long": "a" * 2_001, "null": "nul \x00", "surrogate": "half \ud83d"}


async def messages() -> dict[str, str]:
    """What is said of a to-do that is not there, or of words that cannot be one."""
    told = {key: refusal(ToolError, choose, LIST, wanted) for key, wanted in _WANTED.items()}
    told["several.unknown"] = refusal(ToolError, choose_several, LIST, ["1", "rent"])
    told["several.unnamed"] = refusal(ToolError, choose_several, LIST, [])
    told["having"] = refusal(ToolError, having, LIST, " ")
    told["none"] = refusal(ToolError, choose, [], "first")
    same = [record("milk"), record("bread"), record("Milk", completed=True)]
    told["several"] = refusal(ToolError, choose, same, "milk")
    call = ToolCall("me", "step", InMemoryStore(), max_output=100)
    for key, text in _TEXTS.items():
        told[f"text.{key}"] = await _failure(todos.add(text, call))
    await todos.add("milk", call)
    told["most"] = await _failure(todos.adding(1)("bread", replace(call, step_key="more")))
    told["several.size"] = await _failure(todos.delete("all", replace(call, step_key="next")))
    return told


async def _failure(change: Awaitable[Any]) -> str:
    try:
        await change
    except ToolError as error:
        return error.message
    raise AssertionError
