"""Threads that are opened ahead of their first run: whose they are, and how many are kept."""

import pytest

from graph.storage.records import OpenedThread, ThreadChange
from graph.storage.sql import owners
from graph.storage.storage import Storage


def thread(number: int) -> OpenedThread:
    return OpenedThread(f"thread-{number}", {"number": str(number)}, float(number))


async def test_an_opened_thread_is_its_owners_until_it_is_closed(storage: Storage) -> None:
    kept = storage.threads
    assert await kept.open(thread(1), "ada")
    assert not await kept.open(thread(1), "ada")
    assert not await kept.open(thread(1), "bob")
    assert await kept.owned("thread-1", "ada")
    assert await kept.owned("thread-1", None)
    assert not await kept.owned("thread-1", "bob")
    assert [*await kept.opened("ada")] == [thread(1)]
    assert [*await kept.opened("bob")] == []
    assert [*await kept.opened("bob", "thread-1")] == []

    change = ThreadChange(metadata={"number": "one"})
    assert not await kept.change("thread-1", "bob", change)
    assert await kept.change("thread-1", "ada", change)
    [changed] = await kept.opened("ada", "thread-1")
    assert changed.metadata == {"number": "one"}
    # Nothing else lists what has no run.
    assert await kept.find("thread-1", "ada") is None

    assert not await kept.close("thread-1", "bob")
    assert await kept.close("thread-1", "ada")
    assert not await kept.owned("thread-1", "ada")


async def test_of_more_than_may_be_kept_the_oldest_are_forgotten(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "MOST_OPENED", 3)
    for number in range(5):
        assert await storage.threads.open(thread(number), "ada")
        assert await storage.threads.open(OpenedThread(f"other-{number}", {}, float(number)), "bob")

    kept = await storage.threads.opened("ada")
    assert [one.thread_id for one in kept] == ["thread-4", "thread-3", "thread-2"]
    assert len(await storage.threads.opened("bob")) == 3
