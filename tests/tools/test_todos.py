"""The to-do store: what each tool does, on every store, whatever is cut off or repeated."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.store.base import BaseStore, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from graph.storage.storage import Storage
from tests.support.wording.messages import wording
from tests.support.wording.tools.todos import LIST, record
from tools import todos
from tools.registry import ToolCall, ToolError, make_tools
from tools.todos import Todo, choose


@pytest.fixture
def store(storage: Storage) -> BaseStore:
    return storage.store


@pytest.fixture
def step(store: BaseStore) -> Callable[..., ToolCall]:
    """A new step of an owner's run."""

    def make(owner: str = "default", step_key: str | None = None) -> ToolCall:
        return ToolCall(owner, step_key or str(uuid4()), store)

    return make


Step = Callable[..., ToolCall]


async def texts(call: ToolCall, **status: Any) -> list[str]:
    return [todo["text"] for todo in await todos.list_todos(call, **status)]


async def test_add_returns_the_open_record_under_the_step_key(step: Step) -> None:
    call = step()
    added = await todos.add("  buy Milk ", call)

    assert added == {
        "id": call.step_key,
        "text": "buy Milk",
        "completed": False,
        "created_at": added["created_at"],
        "updated_at": added["created_at"],
        "completed_at": None,
    }
    assert UUID(added["id"])
    assert added["created_at"].endswith("Z")


async def test_list_returns_every_todo_oldest_first(step: Step) -> None:
    for number in range(25):
        await todos.add(f"thing {number}", step())
    await todos.update("1", "thing zero", step())

    assert await texts(step()) == ["thing zero", *(f"thing {number}" for number in range(1, 25))]


async def test_list_keeps_only_the_asked_status(step: Step) -> None:
    await todos.add("milk", step())
    await todos.add("bread", step())
    await todos.complete("milk", step())

    assert await texts(step(), status="open") == ["bread"]
    assert await texts(step(), status="completed") == ["milk"]
    assert await texts(step(), status="all") == ["milk", "bread"]


async def test_update_changes_only_the_words(step: Step) -> None:
    added = await todos.add("buy milk", step())
    changed = await todos.update("BUY  milk ", "buy oat milk", step())

    assert changed == {**added, "text": "buy oat milk", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > added["updated_at"]
    assert await todos.get("last", step()) == changed


async def test_complete_notes_when_and_a_second_time_changes_nothing(step: Step) -> None:
    await todos.add("milk", step())
    done = await todos.complete("milk", step())

    assert done["completed"] is True
    assert done["completed_at"] == done["updated_at"] > done["created_at"]
    assert await todos.complete("milk", step()) == done


async def test_delete_returns_what_is_gone(step: Step) -> None:
    added = await todos.add("milk", step())

    assert await todos.delete(added["id"], step()) == added
    assert await texts(step()) == []


async def test_complete_means_the_open_one_of_the_same_words(step: Step) -> None:
    await todos.add("water plants", step())
    await todos.complete("water plants", step())
    again = await todos.add("water plants", step())

    assert (await todos.complete("water plants", step()))["id"] == again["id"]


@pytest.mark.parametrize("text", ["", " \n", "a" * 2_001, "nul \x00", "half \ud83d"])
async def test_text_that_is_no_todo_is_refused(step: Step, text: str) -> None:
    await todos.add("milk", step())
    for attempt in (todos.add(text, step()), todos.update("milk", text, step())):
        with pytest.raises(ToolError):
            await attempt

    assert await texts(step()) == ["milk"]


@pytest.mark.parametrize(
    "text", ["日本語 ½ 🙂", "it's 100% 'quoted' {braces}", "two\nlines", "a" * 2_000]
)
async def test_any_other_text_is_kept_and_found(step: Step, text: str) -> None:
    await todos.add(text, step())

    assert (await todos.get(text, step()))["text"] == text


async def test_owners_see_only_their_own_whatever_they_are_called(step: Step) -> None:
    owners = ["a", "a.b", "A", "", "%", "%2E", "a/b", "*", "langgraph", "nul\x00", "ü", "\ud83d"]
    for owner in owners:
        await todos.add(f"of {owner!r}", step(owner))

    for owner in owners:
        assert await texts(step(owner)) == [f"of {owner!r}"]


async def call_add(call: ToolCall) -> Todo:
    return await todos.add("tea", call)


async def call_update(call: ToolCall) -> Todo:
    return await todos.update("1", "oat milk", call)


async def call_complete(call: ToolCall) -> Todo:
    return await todos.complete("1", call)


async def call_delete(call: ToolCall) -> Todo:
    return await todos.delete("1", call)


changes = pytest.mark.parametrize("change", [call_add, call_update, call_complete, call_delete])
Change = Callable[[ToolCall], Awaitable[Todo]]


@changes
async def test_a_step_made_again_has_the_same_output_and_no_second_effect(
    step: Step, change: Change
) -> None:
    await todos.add("milk", step())
    await todos.add("bread", step())
    call = step()
    output = await change(call)
    after = await todos.list_todos(step())
    await todos.add("eggs", step())

    assert await change(call) == output
    assert (await todos.list_todos(step()))[: len(after)] == after


@changes
async def test_a_step_made_twice_at_once_has_one_effect(step: Step, change: Change) -> None:
    await todos.add("milk", step())
    await todos.add("bread", step())
    call = step()

    first, second = await asyncio.gather(change(call), change(call))

    assert first == second
    sizes: dict[Change, int] = {call_add: 3, call_delete: 1}
    assert len(await todos.list_todos(step())) == sizes.get(change, 2)


async def test_changes_of_one_todo_at_once_lose_nothing(step: Step) -> None:
    added = await todos.add("milk", step())
    await asyncio.gather(
        todos.complete(added["id"], step()), todos.update(added["id"], "oat milk", step())
    )
    kept = await todos.get(added["id"], step())

    assert (kept["completed"], kept["text"]) == (True, "oat milk")


async def test_many_adds_at_once_are_all_kept(step: Step) -> None:
    await asyncio.gather(*(todos.add(f"thing {number}", step()) for number in range(40)))

    assert len(await todos.list_todos(step())) == 40


async def test_what_a_caller_does_with_an_output_stays_with_the_caller(step: Step) -> None:
    call = step()
    output = await todos.add("milk", call)
    output["text"] = "changed"
    (await todos.list_todos(call))[0]["text"] = "changed"

    assert (await todos.add("milk", call))["text"] == "milk"
    assert await texts(call) == ["milk"]


class HeldStore(InMemoryStore):
    """Holds every write back until it is let go, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()
        self.let_go = asyncio.Event()
        self.batches: list[list[Op]] = []

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        batch = list(ops)
        self.batches.append(batch)
        if any(isinstance(op, PutOp) for op in batch):
            self.writing.set()
            await self.let_go.wait()
        return await super().abatch(batch)


async def test_a_cancelled_write_is_finished_under_its_lock_and_has_its_receipt() -> None:
    store = HeldStore()
    call = ToolCall("me", "step-1", store)
    adding = asyncio.create_task(todos.add("milk", call))
    await store.writing.wait()
    for _ in range(2):
        adding.cancel()
        await asyncio.sleep(0)
    again = asyncio.create_task(todos.add("milk", call))
    await asyncio.sleep(0)
    assert not adding.done()
    store.let_go.set()

    with pytest.raises(asyncio.CancelledError):
        await adding
    assert (await again)["id"] == "step-1"
    assert await texts(call) == ["milk"]


async def test_cancelled_while_it_waits_for_its_turn_it_writes_nothing() -> None:
    store = HeldStore()
    adding = asyncio.create_task(todos.add("milk", ToolCall("me", "step-1", store)))
    await store.writing.wait()
    store.let_go.set()
    await adding
    store.let_go.clear()
    store.writing.clear()
    updating = asyncio.create_task(todos.update("1", "tea", ToolCall("me", "step-2", store)))
    await store.writing.wait()
    deleting = asyncio.create_task(todos.delete("1", ToolCall("me", "step-3", store)))
    await asyncio.sleep(0)
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    store.let_go.set()
    await updating

    assert await texts(ToolCall("me", "step-4", store)) == ["tea"]


async def test_a_time_limit_that_ends_in_a_write_is_still_a_timeout() -> None:
    store = HeldStore()
    asyncio.get_running_loop().call_later(0.05, store.let_go.set)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await todos.add("milk", ToolCall("me", "step-1", store))


async def test_add_costs_one_read_and_one_batch_of_effect_and_receipt() -> None:
    store = HeldStore()
    store.let_go.set()
    await todos.add("milk", ToolCall("me", "step-1", store))

    read, write = store.batches
    assert len(read) == 1
    assert [type(op) for op in write] == [PutOp, PutOp]
    assert all(isinstance(op, PutOp) and op.index is False for op in write)


async def test_a_failed_write_is_told_and_leaves_no_receipt() -> None:
    class FullStore(InMemoryStore):
        async def abatch(self, ops: Iterable[Op]) -> list[Result]:
            batch = list(ops)
            if any(isinstance(op, PutOp) for op in batch):
                raise OSError("disk full")
            return await super().abatch(batch)

    store = FullStore()
    call = ToolCall("me", "step-1", store)
    with pytest.raises(OSError, match="disk full"):
        await todos.add("milk", call)

    assert await store.aget(("receipts", "me"), "step-1") is None


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        (LIST[3]["id"], 3),
        (LIST[3]["id"].upper(), 3),
        ("buy milk", 0),
        (" CALL  bob\n", 1),
        ("2", 2),
        ("#2", 1),
        ("number 2", 1),
        ("no. 2", 1),
        ("1", 0),
        ("the first", 0),
        ("first one", 0),
        ("the 2nd item", 1),
        ("third", 2),
        ("task 4", 3),
        ("the fourth to-do on my list", 3),
        ("last", 4),
        ("the last one", 4),
    ],
)
def test_a_todo_is_chosen_by_id_then_words_then_place(wanted: str, place: int) -> None:
    assert choose(LIST, wanted) is LIST[place]


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        ("", "todos.unnamed"),
        ("rent", "todos.unknown.near"),
        ("0", "todos.place.zero"),
        ("#6", "todos.place"),
        ("the twentieth", "todos.place.word"),
        ("first last", "todos.unknown"),
        ("٢", "todos.unknown.digit"),
        ("x" * 5_000, "todos.unknown.long"),
    ],
)
def test_what_names_no_todo_is_told_what_there_is(wanted: str, key: str) -> None:
    with pytest.raises(ToolError) as error:
        choose(LIST, wanted)

    assert error.value.message == wording(key)
    assert error.value.retryable is False
    assert len(error.value.message) < 600


def test_an_empty_list_is_told_so() -> None:
    with pytest.raises(ToolError) as error:
        choose([], "first")

    assert error.value.message == wording("todos.none")


def test_the_same_words_twice_are_an_error_that_lists_the_candidates() -> None:
    milk, done = record("milk"), record("Milk", completed=True)
    with pytest.raises(ToolError) as error:
        choose([milk, record("bread"), done], "milk")

    assert f"{milk['id']} ('milk', open" in error.value.message
    assert f"{done['id']} ('Milk', completed" in error.value.message


def test_the_tools_are_declared_and_all_may_be_repeated() -> None:
    tools = make_tools(todos.TODO_TOOLS)

    assert {name: tool.effects for name, tool in tools.items()} == {
        "todo_store.add": True,
        "todo_store.list": False,
        "todo_store.get": False,
        "todo_store.update": True,
        "todo_store.complete": True,
        "todo_store.delete": True,
    }
    assert all(tool.repeatable for tool in tools.values())
    assert all("call" not in tool.schema_model.model_fields for tool in tools.values())
