"""The to-do store: what each tool does, on every store, whatever is cut off or repeated."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langgraph.store.base import BaseStore, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from graph.state.wording import MOST_MARKS, folded
from graph.storage.storage import Storage
from tests.support.wording.messages import wording
from tests.support.wording.tools.todos import LIST, record
from tools import todos
from tools.registry import ToolCall, ToolError, make_tools
from tools.todos import Todo, choose, having


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


async def items(call: ToolCall, **kept: Any) -> list[Todo]:
    found = await todos.list_todos(call, **kept)
    assert isinstance(found, list)
    return found


async def texts(call: ToolCall, **kept: Any) -> list[str]:
    return [todo["text"] for todo in await items(call, **kept)]


def one(output: Todo | list[Todo]) -> Todo:
    assert isinstance(output, dict)
    return output


def several(output: Todo | list[Todo]) -> list[str]:
    """The words of a set, which is listed also where it is just one."""
    assert isinstance(output, list)
    return [todo["text"] for todo in output]


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
    done = one(await todos.complete("milk", step()))

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

    assert one(await todos.complete("water plants", step()))["id"] == again["id"]


@pytest.mark.parametrize(
    "text", ["", " \n", "a" * 2_001, "nul \x00", "half \ud83d", "\u200b\ufe0f"]
)
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


async def call_complete(call: ToolCall) -> Todo | list[Todo]:
    return await todos.complete("1", call)


async def call_complete_several(call: ToolCall) -> Todo | list[Todo]:
    return await todos.complete(["1", "last"], call)


async def call_delete(call: ToolCall) -> Todo | list[Todo]:
    return await todos.delete("1", call)


async def call_delete_all(call: ToolCall) -> Todo | list[Todo]:
    return await todos.delete("all", call)


Change = Callable[[ToolCall], Awaitable[Todo | list[Todo]]]
CHANGES: list[Change] = [
    call_add,
    call_update,
    call_complete,
    call_complete_several,
    call_delete,
    call_delete_all,
]
changes = pytest.mark.parametrize("change", CHANGES)


@changes
async def test_a_step_made_again_has_the_same_output_and_no_second_effect(
    step: Step, change: Change
) -> None:
    await todos.add("milk", step())
    await todos.add("bread", step())
    call = step()
    output = await change(call)
    after = await items(step())
    await todos.add("eggs", step())

    assert await change(call) == output
    assert (await items(step()))[: len(after)] == after


@changes
async def test_a_step_made_twice_at_once_has_one_effect(step: Step, change: Change) -> None:
    await todos.add("milk", step())
    await todos.add("bread", step())
    call = step()

    first, second = await asyncio.gather(change(call), change(call))

    assert first == second
    sizes: dict[Change, int] = {call_add: 3, call_delete: 1, call_delete_all: 0}
    assert len(await items(step())) == sizes.get(change, 2)


async def test_changes_of_one_todo_at_once_lose_nothing(step: Step) -> None:
    added = await todos.add("milk", step())
    await asyncio.gather(
        todos.complete(added["id"], step()), todos.update(added["id"], "oat milk", step())
    )
    kept = await todos.get(added["id"], step())

    assert (kept["completed"], kept["text"]) == (True, "oat milk")


async def test_many_adds_at_once_are_all_kept(step: Step) -> None:
    await asyncio.gather(*(todos.add(f"thing {number}", step()) for number in range(40)))

    assert len(await items(step())) == 40


async def test_what_a_caller_does_with_an_output_stays_with_the_caller(step: Step) -> None:
    call = step()
    output = await todos.add("milk", call)
    output["text"] = "changed"
    (await items(call))[0]["text"] = "changed"

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
    store, add = HeldStore(), todos.adding()
    store.let_go.set()
    await add("milk", ToolCall("me", "step-1", store))  # which counts what there is
    store.batches.clear()
    await add("milk", ToolCall("me", "step-2", store))

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
        ("my last task", 4),
        ("second last", 3),
        ("the second to last one", 3),
        ("2nd-to-last", 3),
        ("next to last", 3),
        ("third from the end", 2),
        ("the fifth from last", 0),
        ("\uff22uy\u3000milk", 0),
        ("buy\u200b milk\ufeff", 0),
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
        ("-1", "todos.place.minus"),
        ("\u22121", "todos.place.minus"),
        ("task -1", "todos.place.minus"),
        ("sixth from last", "todos.place.end"),
        ("0th to last", "todos.place.end.zero"),
        ("first last", "todos.unknown"),
        ("todo14", "todos.unknown.joined"),
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


@pytest.mark.parametrize(
    ("kept", "typed"),
    [
        ("don\u2019t forget", "don't forget"),
        ("it's late", "it\u02bcs late"),
        ("call \u201cthe boss\u201d", 'call "the boss"'),
        ("\u00abHamlet\u00bb", '"hamlet"'),
        ("Mon \u2013 Wed", "mon - wed"),
        ("e\u2011mail Ann", "e-mail ann"),
        ("\u0130zmir", "izmir"),
        ("istanbul", "\u0130STANBUL"),
        ("cafe\u0301", "CAF\u00c9"),
        ("so\u00adda", "soda"),
        ("mi\u200dlk", "milk"),
        ("\u200fmilk\u200e", "milk"),
        ("\u2764\ufe0f mum", "\u2764 mum"),
        ("wait\u2026", "wait..."),
        ("Stra\u00dfe", "STRASSE"),
        ("\uff21\uff22", "ab"),
    ],
)
async def test_the_same_words_in_another_writing_are_the_same_todo(
    step: Step, kept: str, typed: str
) -> None:
    """Either way round, and what is kept is what was typed, to the letter."""
    for text, wanted in ((kept, typed), (typed, kept)):
        added = await todos.add(text, step())
        assert added["text"] == text
        assert await todos.get(wanted, step()) == added
        assert await todos.list_todos(step(), text=wanted, show="exists") is True
        assert await todos.delete([wanted], step()) == [added]


@given(st.text() | st.text("iI\u0130\u0131\u0307\u200b\u00b4\u2019'`\u2033-\u2212 a\ufe0f"))
def test_a_todo_is_found_by_its_own_words_in_any_case(text: str) -> None:
    words = folded(text)
    assume(words not in ("", "one thing", "another"))
    todos = [record("one thing"), record(text), record("another")]

    assert folded(words) == words
    for typed in (text, words, f"\u2060 {text}\u200b"):
        assert choose(todos, typed) is todos[1]
        assert todos[1] in having(todos, typed)


def test_a_pile_of_marks_is_cut() -> None:
    """To put the marks of one character in order takes the square of their number."""
    pile = "a" + "\u0301\u0316" * 50_000
    assert len(folded(pile)) <= 1 + MOST_MARKS
    assert folded(f"{pile} b") == folded(f"{pile}\u0301 B")
    assert folded("e\u0301" * 40) == "\u00e9" * 40


@pytest.mark.parametrize(
    "other", ["dont forget", "don't forget it", "don t forget", "do n't forget", "dön't forget"]
)
def test_other_words_are_another_todo(other: str) -> None:
    with pytest.raises(ToolError):
        choose([record("don't forget")], other)


@pytest.mark.parametrize(
    "text",
    [".gitignore cleanup", "..", "-5 degrees check", "- milk", "* star", "v1.0.", "ACME, Inc."],
)
async def test_marks_at_either_end_of_a_text_are_kept(step: Step, text: str) -> None:
    assert (await todos.add(text, step()))["text"] == text
    assert (await todos.update("1", f"{text}!?", step()))["text"] == f"{text}!?"


async def test_several_are_completed_in_one_step_as_the_list_stood_before(step: Step) -> None:
    for text in ("milk", "bread", "eggs", "tea"):
        await todos.add(text, step())

    assert several(await todos.complete(["last", "1", "BREAD"], step())) == ["tea", "milk", "bread"]
    assert await texts(step(), status="open") == ["eggs"]


async def test_several_are_deleted_in_one_step_as_the_list_stood_before(step: Step) -> None:
    for text in ("milk", "bread", "eggs", "tea"):
        await todos.add(text, step())

    assert several(await todos.delete(["1", "2", "second last"], step())) == [
        "milk",
        "bread",
        "eggs",
    ]
    assert await texts(step()) == ["tea"]


async def test_one_named_twice_counts_once(step: Step) -> None:
    added = [await todos.add(text, step()) for text in ("milk", "bread")]
    names = ["1", "milk", "first", added[0]["id"]]

    assert several(await todos.complete(names, step())) == ["milk"]
    assert await todos.delete(["1", "last", "bread", "Milk"], step()) != []
    assert await texts(step()) == []


async def test_a_set_lists_only_what_it_has_changed(step: Step) -> None:
    for text in ("milk", "bread"):
        await todos.add(text, step())
    await todos.complete("milk", step())

    assert several(await todos.complete(["1", "2"], step())) == ["bread"]
    assert several(await todos.complete(["1", "2"], step())) == []


async def test_all_completes_every_open_one_and_deletes_every_one(step: Step) -> None:
    for text in ("milk", "bread", "eggs"):
        await todos.add(text, step())
    await todos.complete("bread", step())

    assert several(await todos.complete("all", step())) == ["milk", "eggs"]
    assert several(await todos.delete("all", step())) == ["milk", "bread", "eggs"]
    assert several(await todos.delete("all", step())) == []
    assert several(await todos.complete("all", step())) == []


async def test_all_in_a_list_is_the_todo_with_this_word(step: Step) -> None:
    for text in ("milk", "all"):
        await todos.add(text, step())

    assert several(await todos.complete(["all"], step())) == ["all"]
    assert several(await todos.delete(["All"], step())) == ["all"]
    with pytest.raises(ToolError):
        await todos.delete(["all"], step())
    assert await texts(step()) == ["milk"]


async def test_an_earlier_output_that_is_the_word_all_takes_not_all(step: Step) -> None:
    for text in ("milk", "all"):
        await todos.add(text, step())
    planned = replace(step(), planned={"todo": "{step_1_output.text}"})

    assert one(await todos.delete("all", planned))["text"] == "all"
    assert await texts(step()) == ["milk"]
    assert several(await todos.delete("all", replace(step(), planned={"todo": "all"}))) == ["milk"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["1", "rent"], "'rent'"),
        (["cheese", "rent"], "'cheese'"),
        (["1", "4"], "no to-do 4"),
        (["1", "-1"], "no to-do -1"),
        (["bread", "0"], "no to-do 0"),
        (["1", "milk", "third from last", "fourth from last"], "4 from the end"),
        (["1", ""], "no to-do was named"),
        ([], "no to-do was named"),
    ],
)
async def test_where_one_of_several_is_not_found_nothing_is_changed(
    step: Step, names: list[str], told: str
) -> None:
    for text in ("milk", "bread", "eggs"):
        await todos.add(text, step())
    before = await items(step())
    for change in (todos.complete, todos.delete):
        with pytest.raises(ToolError, match=re.escape(told)):
            await change(names, step())

    assert await items(step()) == before


async def test_a_set_that_no_output_can_list_is_not_begun(step: Step) -> None:
    for number in range(20):
        await todos.add(f"thing {number}", step())
    before = await items(step())
    for change in (todos.complete, todos.delete):
        with pytest.raises(ToolError, match=r"nothing was changed.*20 to-dos"):
            await change("all", replace(step(), max_output=1_000))

    assert await items(step()) == before
    assert len(several(await todos.delete(["1", "2"], replace(step(), max_output=1_000)))) == 2


async def test_a_set_is_written_with_its_one_receipt_in_one_batch() -> None:
    store = HeldStore()
    store.let_go.set()
    for number in range(3):
        await todos.add(f"thing {number}", ToolCall("me", f"step-{number}", store))
    store.batches.clear()
    await todos.delete("all", ToolCall("me", "step-9", store))

    [write] = [batch for batch in store.batches if any(isinstance(op, PutOp) for op in batch)]
    assert [op.value is None for op in write if isinstance(op, PutOp)] == [True] * 3 + [False]


async def test_a_list_tells_how_many_or_whether(step: Step) -> None:
    for text in ("buy milk", "milkshake", "bread, milk!", "call Ann"):
        await todos.add(text, step())
    await todos.complete("1", step())
    listed = todos.list_todos

    assert await listed(step(), show="count") == 4
    assert await listed(step(), show="count", status="open") == 3
    assert await listed(step(), show="exists", status="completed") is True
    assert await texts(step(), text="MILK") == ["buy milk", "bread, milk!"]
    assert await listed(step(), text="milk", show="count", status="open") == 1
    assert await listed(step(), text="call ann", show="exists") is True
    assert await listed(step(), text="call", show="exists", status="completed") is False
    assert await listed(step(), text="mil", show="exists") is False
    assert await listed(step("nobody"), show="exists") is False
    assert await listed(step("nobody"), show="count") == 0


@pytest.mark.parametrize("text", ["", " ", "\u200b"])
async def test_a_list_of_those_with_no_words_is_refused(step: Step, text: str) -> None:
    with pytest.raises(ToolError, match="no words"):
        await todos.list_todos(step(), text=text)


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
    assert all(tool.idempotent for tool in tools.values())
    assert all("call" not in tool.schema_model.model_fields for tool in tools.values())


async def test_an_owner_may_have_only_so_many(step: Step) -> None:
    add = todos.adding(most=3)
    for _ in range(3):
        await add("milk", step("ann"))
    with pytest.raises(ToolError) as refused:
        await add("milk", step("ann"))
    assert str(refused.value) == wording("todos.most").replace("1", "3")
    assert not refused.value.retryable

    await add("milk", step("bob"))
    await todos.delete("1", step("ann"))
    await add("milk", step("ann"))
    assert await todos.list_todos(step("ann"), show="count") == 3
