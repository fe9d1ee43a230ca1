"""What is known of threads from the rows of their runs, on every backend."""

from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS, Status
from graph.state.row import IdempotencyKey, RetryCommand, RunRow
from graph.storage.records import Earlier, Head, NameTaken, ThreadChange
from graph.storage.storage import Storage

#: Two that have ended.
A, C = Earlier("a", 1e9 + 2), Earlier("c", 1e9 + 2)


def row(run_id: str, **fields: Any) -> RunRow:
    given: dict[str, Any] = {"owner": "me", "prompt": "task", "created_at": 1e9} | fields
    return RunRow(run_id=run_id, limits=DEFAULT_LIMITS, **given)


async def became(storage: Storage, run_id: str, *statuses: Status) -> None:
    for moment, status in enumerate(statuses, 1):
        ends = status in ("completed", "failed")
        assert await storage.index.project(
            run_id, status, started_at=1e9, completed_at=1e9 + moment if ends else None
        )


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_run_goes_on_with_a_thread_of_its_own_owner_only(
    storage: Storage, keyed: bool
) -> None:
    await storage.index.accept(row("a"))

    async def accepted(one: RunRow) -> bool:
        if not keyed:
            return await storage.index.accept(one)
        key = IdempotencyKey(name=one.run_id, fingerprint="f")
        return await storage.index.accept_once(one, key) is not None

    assert await accepted(row("b", thread_id="a"))
    assert not await accepted(row("c", thread_id="a", owner="you"))
    assert not await accepted(row("d", thread_id="none"))
    assert await storage.index.find("c") is None
    assert await storage.threads.members("a", None) == [("a", "pending"), ("b", "pending")]


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_run_that_is_to_be_alone_is_stored_while_the_others_of_its_thread_have_ended(
    storage: Storage, keyed: bool
) -> None:
    async def accepted(one: RunRow) -> bool:
        if not keyed:
            return await storage.index.accept(one)
        key = IdempotencyKey(name=one.run_id, fingerprint="f")
        return await storage.index.accept_once(one, key) is not None

    await storage.index.accept(row("other"))
    assert await accepted(row("a", alone=True))
    assert not await accepted(row("b", thread_id="a", alone=True))
    assert await accepted(row("c", thread_id="a"))
    await became(storage, "c", "running", "completed")
    assert not await accepted(row("d", thread_id="a", alone=True))
    await became(storage, "a", "running", "completed")
    assert await accepted(row("e", thread_id="a", alone=True))


async def test_a_run_is_retried_alone_while_the_others_of_its_thread_have_ended(
    storage: Storage,
) -> None:
    await storage.index.accept(row("a"))
    await became(storage, "a", "running", "failed")
    await storage.index.accept(row("b", thread_id="a"))
    first = await storage.index.find("a")
    command = RetryCommand(from_step=None, input=None, skip=[], generation=1, by="me", at=1e9)

    assert not await storage.index.request_retry("a", command, alone=first)
    await became(storage, "b", "running", "completed")
    assert await storage.index.request_retry("a", command, alone=first)


async def test_a_thread_is_at_the_run_that_has_begun_before_one_that_has_not(
    storage: Storage,
) -> None:
    for run_id, thread_id in (("a", None), ("b", "a"), ("c", "a")):
        await storage.index.accept(row(run_id, thread_id=thread_id))
    assert await storage.threads.head("a") == Head("a", "pending")
    await became(storage, "a", "running", "failed")
    await became(storage, "b", "running", "waiting")
    command = RetryCommand(from_step=None, input=None, skip=[], generation=1, by="me", at=1e9)
    assert await storage.index.request_retry("a", command)

    assert await storage.threads.head("a") == Head("b", "waiting")
    await became(storage, "b", "running", "completed")
    assert await storage.threads.head("a") == Head("a", "pending")
    assert await storage.threads.head("none") is None


async def test_earlier_runs_are_those_that_have_ended_newest_first(storage: Storage) -> None:
    for run_id, thread_id in (("a", None), ("b", "a"), ("c", "a"), ("d", "a"), ("e", "a")):
        await storage.index.accept(row(run_id, thread_id=thread_id))
    await storage.index.accept(row("other"))
    for run_id in ("a", "c", "e", "other"):
        await became(storage, run_id, "running", "completed")

    assert await storage.threads.earlier("d", limit=9) == ([C, A], 2)
    assert await storage.threads.earlier("d", limit=1) == ([C], 2)
    assert await storage.threads.earlier("a", limit=9) == ([], 0)


async def test_a_name_finds_its_thread_and_is_one_threads_of_its_owner(storage: Storage) -> None:
    await storage.index.accept(row("a", thread_name="mine"))
    await storage.index.accept(row("b", thread_name="mine"))
    await storage.index.accept(row("c", thread_name="mine", owner="you"))
    await storage.index.accept(row("d"))

    assert [await storage.threads.of_run(run_id) for run_id in "abcd"] == ["a", "a", "c", "d"]
    assert await storage.threads.named("me", "mine") == "a"
    assert await storage.threads.named("you", "mine") == "c"
    with pytest.raises(NameTaken):
        await storage.threads.change("d", "me", ThreadChange(renamed=True, name="mine"))
    assert not await storage.threads.change("d", "you", ThreadChange(metadata={"a": "b"}))
    assert await storage.threads.change("d", "me", ThreadChange(renamed=True, name="two"))
    assert await storage.threads.change("a", None, ThreadChange(metadata={"a": "b"}))
    thread = await storage.threads.find("a", "me")
    assert thread is not None
    assert (thread["name"], thread["metadata"], thread["runs"]) == ("mine", {"a": "b"}, 2)
    assert await storage.threads.find("a", "you") is None


async def test_threads_are_paged_by_their_last_runs(storage: Storage) -> None:
    for run_id, thread_id in (("a", None), ("b", None), ("c", None), ("d", "a")):
        await storage.index.accept(row(run_id, thread_id=thread_id))
    await storage.index.accept(row("other", owner="you"))

    first, more = await storage.threads.page("me", limit=2, before=None, name=None)
    rest, end = await storage.threads.page("me", limit=2, before=more, name=None)

    assert [one["thread_id"] for one in first] == ["a", "c"]
    assert first[0]["last_run"]["run_id"] == "d"
    assert ([one["thread_id"] for one in rest], end) == (["b"], None)
    assert await storage.threads.page("none", limit=2, before=None, name=None) == ([], None)
