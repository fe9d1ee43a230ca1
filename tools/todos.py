"""The to-do store: each owner's list, kept in the store that the graph runs with."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, TypedDict, cast

from langgraph.store.base import PutOp
from pydantic import AfterValidator

from graph.state.wording import folded
from tools.receipts import Full, Writes, namespace, once
from tools.registry import ToolCall, ToolError, tool
from tools.toolbox import is_all


class Todo(TypedDict):
    """One thing to do; times are RFC 3339 in UTC, `completed_at` is null while it is open."""

    id: str
    text: str
    completed: bool
    created_at: str
    updated_at: str
    completed_at: str | None


_SHOWN = 5  # to-dos named in an error
_SHOWN_TEXT = 60  # characters of each

# fmt: off
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
)
# fmt: on
_THING = r"(?:one|item|task|to[- ]?do|entry)"
_ORDINAL = rf"[0-9]{{1,9}}(?:st|nd|rd|th)|{'|'.join(_ORDINALS)}"
_FROM_END = rf"(?!first|1st)(?:{_ORDINAL})|next(?=[ -]to[ -])"
_POSITION = re.compile(
    rf"(?:(?:the|my) )?(?:{_THING} )?(?:number |no |no\. ?|# ?)?"
    rf"(?:(?P<number>-?[0-9]{{1,9}})|(?P<last>last)"
    rf"|(?P<from_end>{_FROM_END})[ -](?:(?:to[ -]|from[ -])?(?:the[ -])?last|from the end)"
    rf"|(?P<ordinal>{_ORDINAL}))"
    rf"(?: {_THING})?(?: (?:on|in|of) (?:the|my) list)?"
)
_HOW = "ask for one by its exact words, its place (such as 2 or 'the last one') or its id"


def choose(todos: Sequence[Todo], wanted: str, *, prefer_open: bool = False) -> Todo:
    """The one to-do of a list, oldest first, that `wanted` says.

    It is tried as an id, then as exact words (however they are `folded`), then as a place in the
    list, counted from its end for "last" or "second last". `prefer_open` decides between a
    completed and one open to-do of the same words. Raises `ToolError` when there is none, or more
    than one.
    """
    return _Names(todos).one(wanted, prefer_open)


def choose_several(
    todos: Sequence[Todo], wanted: Iterable[str], *, prefer_open: bool = False
) -> list[Todo]:
    """The to-dos that these names say, each once, in the order in which they are named.

    Raises `ToolError` where nothing is named, or one of the names says no single to-do.
    """
    names = _Names(todos)
    try:
        chosen = [names.one(name, prefer_open) for name in wanted]
    except ToolError as error:
        raise ToolError(f"nothing was changed: {error.message}") from None
    if not chosen:
        raise ToolError(f"no to-do was named; {_HOW}")
    return list({todo["id"]: todo for todo in chosen}.values())


def having(todos: Iterable[Todo], text: str) -> list[Todo]:
    """The to-dos that have these words in them, one after another, however they are `folded`.

    Raises `ToolError` where there are no words.
    """
    if not (words := folded(text)):
        raise ToolError("`text` has no words to look for; leave it out to list every to-do")
    within = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)")
    return [todo for todo in todos if within.search(folded(todo["text"]))]


class _Names:
    """What the to-dos of a list, oldest first, can be called."""

    def __init__(self, todos: Sequence[Todo]) -> None:
        self._todos = todos
        self._by_id = {todo["id"]: todo for todo in todos}
        self._by_words: dict[str, list[Todo]] = {}
        for todo in todos:
            self._by_words.setdefault(folded(todo["text"]), []).append(todo)

    def one(self, wanted: str, prefer_open: bool) -> Todo:
        words = folded(wanted)
        if not words:
            raise ToolError(f"no to-do was named; {_HOW}")
        if found := self._by_id.get(words):
            return found
        same = self._by_words.get(words, [])
        still_open = [todo for todo in same if not todo["completed"]]
        if prefer_open and len(still_open) == 1:
            return still_open[0]
        if len(same) > 1:
            raise ToolError(_ambiguous(same))
        return same[0] if same else self._at(words, wanted)

    def _at(self, words: str, wanted: str) -> Todo:
        match = _POSITION.fullmatch(words)
        count = len(self._todos)
        if match is None or not count:
            raise ToolError(_unknown(self._todos, words, wanted))
        if match["from_end"] or match["last"]:
            position = 2 if match["from_end"] == "next" else _number(match["from_end"] or "first")
            place, named = count + 1 - position, f"{position} from the end"
        else:
            place = position = _number(match["number"] or match["ordinal"])
            named = str(position)
        if not (1 <= place <= count and position >= 1):
            raise ToolError(f"there is no to-do {named}; the list goes from 1 to {count}")
        return self._todos[place - 1]


def _number(ordinal: str) -> int:
    """The number of 3, -1, 3rd or third."""
    if ordinal in _ORDINALS:
        return _ORDINALS.index(ordinal) + 1
    return int(ordinal.rstrip("sthndr"))


def _unknown(todos: Sequence[Todo], words: str, wanted: str) -> str:
    if not todos:
        return "there are no to-dos; add one first"
    alike = sorted(todos, key=lambda todo: words not in folded(todo["text"]))
    named = ", ".join(repr(_short(todo["text"])) for todo in alike[:_SHOWN])
    more = f" and {len(todos) - _SHOWN} more" if len(todos) > _SHOWN else ""
    shown = _short(" ".join(wanted.split()))
    return f"no to-do is called {shown!r}; there are {named}{more}: {_HOW}"


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


MAX_TEXT = 2_000  # characters of a to-do
MOST = 10_000  # to-dos of an owner, but for those that are added by one process at the same moment

# A store's search returns 10 unless told otherwise. This is the most that every backend takes: all
# of them in one statement, so that none is missed while another is written.
_ALL = 2**31 - 1


def _words(text: str) -> str:
    """What a plan may give as the words of a to-do; the tool looks again at what they become."""
    try:
        return _checked(text) and text
    except ToolError as error:
        raise ValueError(error.message) from None


def _named(todo: str | list[str]) -> str | list[str]:
    """What a plan may give as the name of a to-do, or of several."""
    if not todo or not all(map(folded, [todo] if isinstance(todo, str) else todo)):
        raise ValueError(f"no to-do was named; {_HOW}")
    return todo


#: The words of a to-do, and how one or several are named: what can never be is no plan.
Words = Annotated[str, AfterValidator(_words)]
Name = Annotated[str, AfterValidator(_named)]
Names = Annotated[str | list[str], AfterValidator(_named)]


def adding(most: int = MOST) -> Callable[[str, ToolCall], Awaitable[Todo]]:
    """The tool that adds a to-do where its owner has fewer than so many; 0 is any number."""
    room: Counter[str] = Counter()  # how many an owner may add before they are counted again

    @tool("todo_store.add", idempotent=True, noun="to-do")
    async def add(text: Words, call: ToolCall) -> Todo:
        """Add one to-do to the list and return it; `text` is what to do, in the person's own words."""  # noqa: E501 - models are told it in one line
        words, kept = _checked(text), namespace("todos", call.owner)

        async def effect() -> tuple[Todo, Writes]:
            if most and room[call.owner] <= 0:
                room[call.owner] = most - len(await call.store.asearch(kept, limit=most))
                if room[call.owner] <= 0:
                    raise Full
            room[call.owner] -= 1
            times = {"created_at": (now := _now()), "updated_at": now, "completed_at": None}
            todo = cast("Todo", {"id": call.step_key, "text": words, "completed": False, **times})
            return todo, [_put(call, todo)]

        try:
            # A new to-do depends on no other: only the same step must wait for itself.
            return await once(call, effect, among=call.step_key, most=most)
        except Full:
            raise ToolError(f"no more than {most} to-dos are kept; delete some first") from None

    return add


add = adding()


@tool("todo_store.list", effects=False, idempotent=True, noun="to-do")
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


@tool("todo_store.get", effects=False, idempotent=True, noun="to-do")
async def get(todo: Name, call: ToolCall) -> Todo:
    """Return one to-do.

    `todo` is its exact words, its place in the list ("2", "last") or its id.
    """
    return choose(await _todos(call), todo)


@tool("todo_store.update", idempotent=True, noun="to-do")
async def update(todo: Name, text: Words, call: ToolCall) -> Todo:
    """Change the words of one to-do to `text` and return it.

    `todo` is its exact present words, its place in the list ("2", "last") or its id.
    """
    words = _checked(text)

    async def effect() -> tuple[Todo, Writes]:
        chosen = choose(await _todos(call), todo)
        changed: Todo = {**chosen, "text": words, "updated_at": _now()}
        return changed, [_put(call, changed)]

    return await once(call, effect)


@tool("todo_store.complete", idempotent=True, noun="to-do", sets={"todo": "every open to-do"})
async def complete(todo: Names, call: ToolCall) -> Todo | list[Todo]:
    """Mark one to-do as done and return it, or several: a list of those that were still open.

    `todo` is its exact words, its place in the list ("2", "last") or its id, an array of these, or
    "all".
    """

    async def effect() -> tuple[Todo | list[Todo], Writes]:
        chosen, is_set = _chosen(await _todos(call), todo, call, prefer_open=True)
        now = _now()
        done = [
            Todo({**each, "completed": True, "updated_at": now, "completed_at": now})
            for each in chosen
            if not each["completed"]
        ]
        output = _listed(done, call) if is_set else (done or chosen)[0]
        return output, [_put(call, each) for each in done]

    return await once(call, effect)


@tool("todo_store.delete", idempotent=True, noun="to-do", sets={"todo": "every to-do"})
async def delete(todo: Names, call: ToolCall) -> Todo | list[Todo]:
    """Remove one to-do from the list and return it as it was, or several: a list of them.

    `todo` is its exact words, its place in the list ("2", "last") or its id, an array of these, or
    "all".
    """

    async def effect() -> tuple[Todo | list[Todo], Writes]:
        chosen, is_set = _chosen(await _todos(call), todo, call)
        output = _listed(chosen, call) if is_set else chosen[0]
        return output, [PutOp(namespace("todos", call.owner), each["id"], None) for each in chosen]

    return await once(call, effect)


TODO_TOOLS = (add, list_todos, get, update, complete, delete)


def _chosen(
    todos: list[Todo], named: str | list[str], call: ToolCall, *, prefer_open: bool = False
) -> tuple[list[Todo], bool]:
    """The to-dos that are named, and whether as a set: all, those that a list names, or just one.

    Raises `ToolError` where one of them is not found.
    """
    if isinstance(named, list):
        return choose_several(todos, named, prefer_open=prefer_open), True
    # An earlier output that happens to be this word, the text of a to-do, is no order to take all.
    planned = named if call.planned is None else call.planned.get("todo")
    if is_all(named) and isinstance(planned, str) and is_all(planned):
        return todos, True
    return [choose(todos, named, prefer_open=prefer_open)], False


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
