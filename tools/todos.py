"""The to-do store: each owner's list, kept in the store that the graph runs with."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypedDict, cast

from langgraph.store.base import PutOp

from tools.receipts import Writes, namespace, once
from tools.registry import ToolCall, ToolError, tool

MAX_TEXT = 2_000  # characters of a to-do

# A store's search returns 10 unless told otherwise. This is the most that every backend takes: all
# of them in one statement, so that none is missed while another is written.
_ALL = 2**31 - 1


# Which to-do is meant: by its id, its words, or its place in the list.


class Todo(TypedDict):
    """One thing to do; times are RFC 3339 in UTC, `completed_at` is null while it is open."""

    id: str
    text: str
    completed: bool
    created_at: str
    updated_at: str
    completed_at: str | None


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
    call: ToolCall, status: Literal["open", "completed", "all"] = "all"
) -> list[Todo]:
    """List the to-dos, oldest first; `status` keeps only the open or only the completed ones."""
    todos = await _todos(call)
    return [todo for todo in todos if status == "all" or todo["completed"] == (status != "open")]


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


@tool("todo_store.complete", repeatable=True, noun="to-do")
async def complete(todo: str, call: ToolCall) -> Todo:
    """Mark one to-do as done and return it.

    `todo` is its exact words, its place in the list ("2", "last") or its id.
    """

    async def effect() -> tuple[Todo, Writes]:
        chosen = choose(await _todos(call), todo, prefer_open=True)
        if chosen["completed"]:
            return chosen, []
        now = _now()
        done: Todo = {**chosen, "completed": True, "updated_at": now, "completed_at": now}
        return done, [_put(call, done)]

    return await once(call, effect)


@tool("todo_store.delete", repeatable=True, noun="to-do")
async def delete(todo: str, call: ToolCall) -> Todo:
    """Remove one to-do from the list and return it as it was.

    `todo` is its exact words, its place in the list ("2", "last") or its id.
    """

    async def effect() -> tuple[Todo, Writes]:
        chosen = choose(await _todos(call), todo)
        return chosen, [PutOp(namespace("todos", call.owner), chosen["id"], None)]

    return await once(call, effect)


TODO_TOOLS = (add, list_todos, get, update, complete, delete)


async def _todos(call: ToolCall) -> list[Todo]:
    found = await call.store.asearch(namespace("todos", call.owner), limit=_ALL)
    todos = [cast("Todo", dict(item.value)) for item in found]
    return sorted(todos, key=lambda todo: (todo["created_at"], todo["id"]))


def _put(call: ToolCall, todo: Todo) -> PutOp:
    # index=False: a store that embeds what it keeps would pay for every to-do.
    return PutOp(namespace("todos", call.owner), todo["id"], dict(todo), index=False)


def _checked(text: str) -> str:
    words = text.strip()
    if not words:
        raise ToolError("a to-do needs words; its text is empty")
    if len(words) > MAX_TEXT:
        raise ToolError(f"the to-do has {len(words)} characters; {MAX_TEXT} is the most")
    if "\x00" in words or any("\ud800" <= character <= "\udfff" for character in words):
        raise ToolError("the to-do has characters that no text can hold (NUL or half a pair)")
    return words


def _now() -> str:
    # Microseconds: they are the order of the list.
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_SHOWN = 5  # to-dos named in an error
_SHOWN_TEXT = 60  # characters of each

# fmt: off
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
)
# fmt: on
_THING = r"(?:one|item|task|to-?do|entry)"
_POSITION = re.compile(
    rf"(?:the )?(?:{_THING} )?(?:number |no\.? ?|# ?)?"
    rf"(?P<place>(?P<number>[0-9]{{1,9}})(?:st|nd|rd|th)?|last|{'|'.join(_ORDINALS)})"
    rf"(?: {_THING})?(?: (?:on|in|of) (?:the|my) list)?"
)
_HOW = "ask for one by its exact words, its place (such as 2 or 'the last one') or its id"


def choose(todos: Sequence[Todo], wanted: str, *, prefer_open: bool = False) -> Todo:
    """The one to-do of a list, oldest first, that `wanted` says.

    It is tried as an id, then as exact words (without regard to case and spacing), then as a place
    in the list. `prefer_open` decides between a completed and one open to-do of the same words.
    Raises `ToolError` when there is none, or more than one.
    """
    words = _normal(wanted)
    if not words:
        raise ToolError(f"no to-do was named; {_HOW}")
    for todo in todos:
        if todo["id"] == words:
            return todo
    same = [todo for todo in todos if _normal(todo["text"]) == words]
    if prefer_open and len(still_open := [todo for todo in same if not todo["completed"]]) == 1:
        same = still_open
    if len(same) > 1:
        raise ToolError(_ambiguous(same))
    return same[0] if same else _at(todos, words)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _at(todos: Sequence[Todo], words: str) -> Todo:
    match = _POSITION.fullmatch(words)
    if match is None or not todos:
        raise ToolError(_unknown(todos, words))
    if match["place"] == "last":
        return todos[-1]
    number = match["number"]
    position = int(number) if number else _ORDINALS.index(match["place"]) + 1
    if not 1 <= position <= len(todos):
        raise ToolError(f"there is no to-do {position}; the list goes from 1 to {len(todos)}")
    return todos[position - 1]


def _unknown(todos: Sequence[Todo], words: str) -> str:
    if not todos:
        return "there are no to-dos; add one first"
    alike = sorted(todos, key=lambda todo: words not in _normal(todo["text"]))
    named = ", ".join(repr(_short(todo["text"])) for todo in alike[:_SHOWN])
    more = f" and {len(todos) - _SHOWN} more" if len(todos) > _SHOWN else ""
    return f"no to-do is called {_short(words)!r}; there are {named}{more}: {_HOW}"


def _ambiguous(same: Sequence[Todo]) -> str:
    named = "; ".join(
        f"{todo['id']} ({_short(todo['text'])!r}, "
        f"{'completed' if todo['completed'] else 'open'}, added {todo['created_at']})"
        for todo in same[:_SHOWN]
    )
    more = f"; and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
    return f"{len(same)} to-dos have these words; ask for one by its id: {named}{more}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"
