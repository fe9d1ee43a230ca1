"""The store on Postgres: what is put into it comes back as it was."""

import asyncio
from typing import Any

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp

from graph.storage.open import open_storage
from graph.storage.postgres.store import StoreUnreachable
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer

ODD: dict[str, Any] = {
    "large": 1e22,
    "whole": 3.0,
    "long": 2**63,
    "nul": "a\x00b",
    "key": {"b": 1, "a": [None, True]},
    "text": "Grüße 東京",
}


async def keys(storage: Storage, *namespace: str, **options: Any) -> list[str]:
    return [item.key for item in await storage.store.asearch(namespace, **options)]


async def test_a_value_comes_back_as_it_was_put(storage: Storage) -> None:
    await storage.store.aput(("odd", "me"), "1", ODD)
    item = await storage.store.aget(("odd", "me"), "1")

    assert item is not None
    assert repr(item.value) == repr(ODD)
    assert (item.namespace, item.key) == (("odd", "me"), "1")
    assert item.created_at.utcoffset() is not None or item.created_at.tzinfo is None


async def test_what_is_read_with_a_write_is_what_was_there_before(storage: Storage) -> None:
    place = ("todos", "me")
    await storage.store.aput(place, "1", {"n": 1})
    read, *_ = await storage.store.abatch(
        [GetOp(place, "1"), PutOp(place, "1", {"n": 2}), PutOp(place, "1", {"n": 3})]
    )
    now = await storage.store.aget(place, "1")

    assert read.value == {"n": 1}  # type: ignore[union-attr]  # an item
    assert now is not None
    assert now.value == {"n": 3}


async def test_a_namespace_has_what_is_below_it_and_nothing_beside_it(storage: Storage) -> None:
    for number, place in enumerate(("a", "a.b", "ab", "a.b.c", "a-b")):
        await storage.store.aput(tuple(place.split(".")), f"{number}", {"n": number})

    assert sorted(await keys(storage, "a")) == ["0", "1", "3"]
    assert sorted(await keys(storage, "a", "b")) == ["1", "3"]
    assert sorted(await keys(storage)) == ["0", "1", "2", "3", "4"]
    assert await keys(storage, "a", filter={"n": 1}) == ["1"]
    assert sorted(await keys(storage, "a", filter={"n": {"$gt": 0}})) == ["1", "3"]
    assert len(await keys(storage, limit=2)) == 2
    assert len(await keys(storage, limit=9, offset=4)) == 1


async def test_namespaces_are_listed_by_how_they_begin_and_end(storage: Storage) -> None:
    for place in ("a.b.c", "a.x.c", "b.c", "a"):
        await storage.store.aput(tuple(place.split(".")), "1", {})

    async def listed(**conditions: Any) -> list[str]:
        matching = [
            MatchCondition(match_type=kind, path=tuple(path.split(".")))
            for kind, path in conditions.items()
            if kind != "depth"
        ]
        depth = conditions.get("depth")
        op = ListNamespacesOp(tuple(matching), max_depth=depth, limit=10, offset=0)
        [found] = await storage.store.abatch([op])
        return [".".join(one) for one in found]  # type: ignore[union-attr]

    assert sorted(await listed()) == ["a", "a.b.c", "a.x.c", "b.c"]
    assert sorted(await listed(prefix="a.*")) == ["a.b.c", "a.x.c"]
    assert sorted(await listed(suffix="b.c")) == ["a.b.c", "b.c"]
    assert sorted(await listed(depth=1)) == ["a", "b"]


async def test_a_tool_in_a_thread_of_its_own_reads_and_writes(storage: Storage) -> None:
    def in_a_thread() -> Any:
        storage.store.put(("todos", "me"), "1", {"text": "milk"})
        return storage.store.get(("todos", "me"), "1")

    assert (await asyncio.to_thread(in_a_thread)).value == {"text": "milk"}
    with pytest.raises(asyncio.InvalidStateError):
        storage.store.get(("todos", "me"), "1")


async def test_a_batch_is_written_whole_or_not_at_all(storage: Storage) -> None:
    place = ("todos", "me")
    with pytest.raises(Exception, match=r"(?i)nul|surrogate|utf"):
        await storage.store.abatch([PutOp(place, "1", {}), PutOp(place, "\ud800", {})])

    assert await keys(storage, "todos") == []


async def test_to_a_tool_a_lost_database_is_a_lost_connection(postgres: PostgresServer) -> None:
    async with open_storage(postgres.empty()) as storage:
        postgres.stop()
        try:
            with pytest.raises(ConnectionError) as lost:
                await storage.store.aput(("todos", "me"), "1", {})
        finally:
            postgres.start()

    assert isinstance(lost.value, StoreUnreachable)
    assert isinstance(lost.value, storage.errors)
