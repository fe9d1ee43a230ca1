"""The to-do store on SQLite: batches are all or nothing, and never find the file locked."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp
from langgraph.store.sqlite.base import SqliteStore as StockStore

from graph.storage.open import open_storage
from graph.storage.storage import Storage

TODOS = ("todos", "me")


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        yield storage


async def texts(storage: Storage, limit: int = 1_000) -> set[Any]:
    return {item.value["text"] for item in await storage.store.asearch(TODOS, limit=limit)}


async def test_what_is_put_is_found_changed_and_deleted(storage: Storage) -> None:
    await storage.store.aput(TODOS, "1", {"text": "milk"})
    await storage.store.aput(TODOS, "2", {"text": "bread"})
    await storage.store.aput(TODOS, "1", {"text": "oat milk"})
    assert await texts(storage) == {"oat milk", "bread"}
    await storage.store.adelete(TODOS, "2")

    assert await texts(storage) == {"oat milk"}


async def test_nothing_is_left_running_when_it_is_closed(tmp_path: Path) -> None:
    """A task that is left pending is told of on standard error: a notebook closes and goes on."""
    before = asyncio.all_tasks()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        await storage.store.aput(TODOS, "1", {"text": "milk"})

    assert asyncio.all_tasks() == before


async def test_a_batch_reads_what_was_there_and_writes_through_the_stock_statements(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come from a private method of LangGraph's store: another release may not have it."""
    prepared: list[Any] = []
    prepare = StockStore._prepare_batch_PUT_queries

    def noted(self: StockStore, puts: Any) -> Any:
        prepared.extend(puts)
        return prepare(self, puts)

    monkeypatch.setattr(StockStore, "_prepare_batch_PUT_queries", noted)
    put = PutOp(TODOS, "1", {"text": "milk"})
    assert await storage.store.abatch([put, GetOp(TODOS, "1"), SearchOp(TODOS)]) == [None, None, []]
    assert prepared == [(0, put)]
    [item, found] = await storage.store.abatch([GetOp(TODOS, "1"), SearchOp(TODOS)])
    assert item.value == {"text": "milk"}  # type: ignore[union-attr]
    assert [one.value for one in found] == [{"text": "milk"}]  # type: ignore[union-attr]


async def test_a_tool_in_a_thread_reads_and_writes_as_well(storage: Storage) -> None:
    def work() -> Any:
        storage.store.put(TODOS, "1", {"text": "milk"})
        return storage.store.get(TODOS, "1")

    assert (await asyncio.to_thread(work)).value == {"text": "milk"}


async def test_the_loop_does_not_wait_for_itself(storage: Storage) -> None:
    with pytest.raises(asyncio.InvalidStateError):
        storage.store.get(TODOS, "1")


async def test_nothing_of_a_batch_that_fails_is_kept(storage: Storage, tmp_path: Path) -> None:
    await storage.store.aput(TODOS, "1", {"text": "milk"})
    other = sqlite3.connect(tmp_path / "runs.db")
    other.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON store WHEN new.prefix = 'receipts.me'"
        " BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    other.commit()
    with pytest.raises(sqlite3.IntegrityError, match="refused"):
        await storage.store.abatch(
            [
                PutOp(TODOS, "1", None),
                PutOp(TODOS, "2", {"text": "bread"}),
                PutOp(("receipts", "me"), "key", {"output": 1}),
            ]
        )
    assert await texts(storage) == {"milk"}
    other.execute("DROP TRIGGER refuse")
    other.commit()
    other.close()
    await storage.store.aput(("receipts", "me"), "key", {"output": 2})

    assert (await storage.store.aget(("receipts", "me"), "key")).value == {"output": 2}  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["half \ud83d", {1, 2}], ids=["surrogate", "set"])
async def test_a_value_that_cannot_be_stored_harms_nobody_else(
    storage: Storage, value: Any
) -> None:
    with pytest.raises((TypeError, ValueError)):
        await storage.store.aput(TODOS, "1", {"text": value})
    with pytest.raises(ValueError, match="surrogates"):
        await storage.store.aput(TODOS, "half \ud83d", {"text": "key"})
    await storage.store.aput(TODOS, "2", {"text": "milk"})

    assert await texts(storage) == {"milk"}


async def test_a_cancelled_batch_leaves_the_store_usable(storage: Storage) -> None:
    for number in range(50):
        putting = asyncio.ensure_future(
            storage.store.abatch([PutOp(TODOS, str(number), {"text": number})])
        )
        for _ in range(number % 7):
            await asyncio.sleep(0)
        putting.cancel()
        await asyncio.gather(putting, return_exceptions=True)
    await storage.store.aput(TODOS, "last", {"text": "last"})

    assert "last" in await texts(storage)


async def test_reading_and_writing_beside_a_busy_saver_never_finds_the_file_locked(
    storage: Storage,
) -> None:
    """The stock store failed 18 of 96 such pairs."""

    async def save(thread: int) -> None:
        config: Any = {"configurable": {"thread_id": str(thread), "checkpoint_ns": ""}}
        for _ in range(24):
            config = await storage.saver.aput(config, empty_checkpoint(), {}, {})
            await storage.saver.aput_writes(config, [("log", ["x" * 400])], "task")

    async def pair(number: int) -> None:
        await storage.store.asearch(TODOS, limit=1_000)
        await storage.store.aput(TODOS, str(number), {"text": number})

    async def pairs(start: int) -> None:
        for number in range(start, start + 24):
            await pair(number)

    await asyncio.gather(
        *(save(thread) for thread in range(4)), *(pairs(start) for start in range(0, 96, 24))
    )

    assert await texts(storage) == set(range(96))


async def test_a_search_returns_as_many_as_asked_for(storage: Storage) -> None:
    await storage.store.abatch(
        [PutOp(TODOS, str(number), {"text": number}) for number in range(180)]
    )

    assert len(await storage.store.asearch(TODOS)) == 10
    assert len(await storage.store.asearch(TODOS, limit=1_000)) == 180


async def test_a_plain_read_finds_what_the_stock_store_finds(
    storage: Storage, tmp_path: Path
) -> None:
    """What lies below a namespace, too, and nothing of one whose name begins the same."""
    places = [
        ("a",),
        ("a", "b"),
        ("a", "b", "c"),
        ("a-b",),
        ("a0",),
        ("A", "b"),
        ("a*", "b"),
        ("b",),
    ]
    puts = [PutOp(place, key, {"at": "ü", "x": key}) for place in places for key in "kx"]
    await storage.store.abatch(puts)
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as connection:
        stock = StockStore(connection)
        for place in [*places, ("c",)]:
            for op in (SearchOp(place, limit=3), SearchOp(place, limit=5, offset=1)):
                assert await storage.store.abatch([op]) == stock.batch([op])
            assert await storage.store.abatch([GetOp(place, "k")]) == stock.batch(
                [GetOp(place, "k")]
            )
        filtered = SearchOp(("a",), filter={"x": "x"})
        assert await storage.store.abatch([filtered]) == stock.batch([filtered])
        everything = SearchOp((), limit=100)
        assert await storage.store.abatch([everything]) == stock.batch([everything])
    with pytest.raises(InvalidNamespaceError):
        await storage.store.abatch([GetOp(("a.b",), "k")])
