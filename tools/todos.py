"""The to-do store: each owner's list, kept in the store that the graph runs with."""

import json
from datetime import UTC, datetime
from typing import Literal, cast

from langgraph.store.base import PutOp

from tools.receipts import Writes, namespace, once
from tools.registry import ToolCall, ToolError, is_all, tool
from tools.todo_choice import Todo, choose, choose_several, folded, having

MAX_TEXT = 2_000  # characters of a to-do

# A store's search returns 10 unless told otherwise. This is the most that every backend takes: all
# of them in one statement, so that none is missed while another is written.
_ALL = 2**31 - 1


@tool("todo_store.add", repeatable=True, noun="to-do")
async def add(text: str, call: ToolCall) -> Todo:
    """Add one to-do to the list and return it; `text` is what to do, in the person's own words."""
    words = _checked(text)

    async def effect() -> tuple[Todo, Writes]:
        now = _now()
        todo = Todo(
            id=call.step_key,
            text=words,
            completed=False,
            created_at=now,
            updated_at=now,
            completed_at=None,
        )
        return todo, [_put(call, todo)]

    # A new to-do depends on no other: only the same step must wait for itself.
    return await once(call, effect, among=call.step_key)


@tool("todo_store.list", effects=False, repeatable=True, noun="to-do")
async def list_todos(
    call: ToolCall,
    status: Literal["open", "completed", "all"] = "all",
    text: str | None = None,
    show: Literal["items", "count", "exists"] = "items",
) -> list[Todo] | int | bool:
    """List the to-dos, oldest first: those of a `status`, those with the words `text` in them.

    `show` "count" returns their number instead, "exists" whether there are any.
    """
    todos = await _todos(call)
    kept = [todo for todo in todos if status == "all" or todo["completed"] == (status != "open")]
    if text is not None:
        kept = having(kept, text)
    if show == "items":
        return kept
    return len(kept) if show == "count" else bool(kept)


@tool("todo_store.get", effects=False, repeatable=True, noun="to-do")
async def get(todo: str, call: ToolCall) -> Todo:
    """Return one to-do.

    `todo` is its exact words, its place in the list ("2", "last") or its id.
    """
    return choose(await _todos(call), todo)


@tool("todo_store.update", repeatable=True, noun="to-do")
async def update(todo: str, text: str, call: ToolCall) -> Todo:
    """Change the words of one to-do to `text` and return it.

    `todo` is its exact present words, its place in the list ("2", "last") or its id.
    """
    words = _checked(text)

    async def effect() -> tuple[Todo, Writes]:
        chosen = choose(await _todos(call), todo)
        changed: Todo = {**chosen, "text": words, "updated_at": _now()}
        return changed, [_put(call, changed)]

    return await once(call, effect)


@tool("todo_store.complete", repeatable=True, noun="to-do", sets={"todo": "every open to-do"})
async def complete(todo: str | list[str], call: ToolCall) -> Todo | list[Todo]:
    """Mark one to-do as done and return it, or several: a list of those that were still open.

    `todo` is its exact words, its place in the list ("2", "last") or its id, an array of these, or
    "all".
    """

    async def effect() -> tuple[Todo | list[Todo], Writes]:
        todos = await _todos(call)
        several = _several(todos, todo, call, prefer_open=True)
        chosen = [choose(todos, str(todo), prefer_open=True)] if several is None else several
        now = _now()
        done = [
            Todo({**each, "completed": True, "updated_at": now, "completed_at": now})
            for each in chosen
            if not each["completed"]
        ]
        output = (done or chosen)[0] if several is None else _listed(done, call)
        return output, [_put(call, each) for each in done]

    return await once(call, effect)


@tool("todo_store.delete", repeatable=True, noun="to-do", sets={"todo": "every to-do"})
async def delete(todo: str | list[str], call: ToolCall) -> Todo | list[Todo]:
    """Remove one to-do from the list and return it as it was, or several: a list of them.

    `todo` is its exact words, its place in the list ("2", "last") or its id, an array of these, or
    "all".
    """

    async def effect() -> tuple[Todo | list[Todo], Writes]:
        todos = await _todos(call)
        several = _several(todos, todo, call)
        chosen = [choose(todos, str(todo))] if several is None else several
        output = chosen[0] if several is None else _listed(several, call)
        place = namespace("todos", call.owner)
        return output, [PutOp(place, each["id"], None) for each in chosen]

    return await once(call, effect)


TODO_TOOLS = (add, list_todos, get, update, complete, delete)


def _several(
    todos: list[Todo], named: str | list[str], call: ToolCall, *, prefer_open: bool = False
) -> list[Todo] | None:
    """The to-dos of a set: all, or those that a list names; None where just one is named.

    Raises `ToolError` where one of them is not found.
    """
    if isinstance(named, list):
        return choose_several(todos, named, prefer_open=prefer_open)
    if not is_all(named):
        return None
    # An earlier output that happens to be this word, the text of a to-do, is no order to take all.
    planned = named if call.planned is None else call.planned.get("todo")
    return todos if isinstance(planned, str) and is_all(planned) else None


def _listed(todos: list[Todo], call: ToolCall) -> list[Todo]:
    """The to-dos as an output. Raises `ToolError`, before anything is changed, if too large."""
    size = len(json.dumps(todos, ensure_ascii=False).encode())
    if call.max_output is not None and size > call.max_output:
        raise ToolError(
            f"nothing was changed: a list of these {len(todos)} to-dos has {size} bytes, and at"
            f" most {call.max_output} of an output are kept; name fewer at once"
        )
    return todos


async def _todos(call: ToolCall) -> list[Todo]:
    found = await call.store.asearch(namespace("todos", call.owner), limit=_ALL)
    todos = [cast("Todo", dict(item.value)) for item in found]
    return sorted(todos, key=lambda todo: (todo["created_at"], todo["id"]))


def _put(call: ToolCall, todo: Todo) -> PutOp:
    # index=False: a store that embeds what it keeps would pay for every to-do.
    return PutOp(namespace("todos", call.owner), todo["id"], dict(todo), index=False)


def _checked(text: str) -> str:
    words = text.strip()
    if not folded(words):
        raise ToolError("a to-do needs words; its text is empty")
    if len(words) > MAX_TEXT:
        raise ToolError(f"the to-do has {len(words)} characters; {MAX_TEXT} is the most")
    if "\x00" in words or any("\ud800" <= character <= "\udfff" for character in words):
        raise ToolError("the to-do has characters that no text can hold (NUL or half a pair)")
    return words


def _now() -> str:
    # Microseconds: they are the order of the list.
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
