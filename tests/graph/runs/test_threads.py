"""Runs of one thread: one after the other, in order, and each with what went before it."""

import asyncio
import random
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.commands.threads import NotSettled, ThreadNotSettled
from graph.queue.executor import QueueFull
from graph.runs.accept import ChoiceRejected
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.state import Limits, RunState
from graph.state.row import IdempotencyKey
from graph.state.status import WrongStatus
from graph.storage.open import open_storage
from graph.storage.records import NameTaken, ThreadChange
from graph.storage.search import Search
from graph.storage.storage import Storage, StorageUnavailable
from tests.support.examples import slow
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    AT_ONCE,
    Gates,
    history,
    process,
    rested,
    row_status,
    told,
    types,
)
from tools.registry import ToolError

OWN: dict[str, Any] = {"owner": "default"}

#: Limits with which no step is tried again.
ONCE: Limits = {**AT_ONCE, "max_attempts": 1}


async def post(runs: Runs, prompt: str, thread_id: str | None = None, **given: Any) -> str:
    return (await runs.start(prompt, thread_id=thread_id, **given))["run_id"]


async def waits_for(runs: Runs, run_id: str) -> Any:
    return (await runs.get(run_id, owner=None)).get("waits_for_run")


async def prompts(runs: Runs, run_id: str) -> list[str]:
    """What was asked before a run in its thread, as the run was given it."""
    conversation = (await runs.get(run_id, owner=None)).get("conversation")
    return [turn["prompt"] for turn in conversation["turns"]] if conversation else []


async def test_a_run_begins_when_the_one_before_it_in_its_thread_has_ended(
    storage: Storage,
) -> None:
    """Until then it takes neither slot nor place, says for what it waits, and others pass it."""
    gates = Gates()
    async with process(storage, gates, slots=2) as runs:
        first = await post(runs, "gate one")
        await until(lambda: gates.waiting == ["one"])
        second = await post(runs, "gate two", first)
        third = await post(runs, "gate three", first)
        other = await post(runs, "pass other")

        assert (await rested(runs, other))["status"] == "completed"
        for waiting in (second, third):
            record = await runs.get(waiting, **OWN)
            assert (record["status"], record["queue_position"]) == ("pending", None)
            assert record["waits_for_run"] == {"run_id": first, "why": "running"}
            assert record["thread_id"] == first
        assert runs._context.executor.load("default")["queued"] == 2
        assert (await runs.explain(second, **OWN))["time_ms"]["queue"] > 0
        gates.end("one")
        await until(lambda: gates.waiting == ["two"])
        assert await waits_for(runs, third) == {"run_id": second, "why": "running"}
        gates.end("two")
        await gates.end_next("three")
        assert (await rested(runs, third))["status"] == "completed"
        assert await waits_for(runs, third) is None


async def test_a_run_alone_has_a_thread_of_its_own_and_nothing_before_it(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        record = await rested(runs, await post(runs, "pass one"))

        assert record["thread_id"] == record["run_id"]
        assert record["conversation"] is None
        assert "thread_id" not in await runs._context.reader.state(record["run_id"])


async def test_two_posts_at_once_to_one_thread_are_executed_one_after_the_other(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates, slots=4) as runs:
        first = await post(runs, "pass one")
        both = await asyncio.gather(*(post(runs, f"gate {n}", first) for n in "ab"))
        [earlier] = await until(lambda: gates.waiting)
        later = "b" if earlier == "a" else "a"
        await asyncio.sleep(0.02)
        assert gates.waiting == [earlier]
        gates.end(earlier)
        await gates.end_next(later)
        ended = [await rested(runs, run_id) for run_id in both]

    spans = sorted((one["started_at"], one["completed_at"]) for one in ended)
    assert spans[0][1] <= spans[1][0]


async def test_posts_under_one_new_name_at_once_are_one_thread(storage: Storage) -> None:
    async with process(storage, Gates(), slots=4) as runs:
        key = IdempotencyKey(name="k", fingerprint="f")
        posted = await asyncio.gather(
            *(post(runs, f"pass {n}", thread_name="shopping") for n in range(5)),
            post(runs, "pass keyed", thread_name="shopping", key=key),
            post(runs, "pass other", thread_name="shopping", owner="bob"),
        )
        records = [await runs.wait(one, patience(), owner=None) for one in posted]

        threads = [record["thread_id"] for record in records]
        assert len({*threads[:-1]}) == 1
        assert threads[-1] == posted[-1]
        page = await runs.threads.page("default", limit=10)
        assert [(one["name"], one["runs"]) for one in page["threads"]] == [("shopping", 6)]


@pytest.mark.parametrize("many", [30, pytest.param(200, marks=pytest.mark.slow)])
async def test_many_threads_at_once_are_each_in_order(storage: Storage, many: int) -> None:
    """Twice as many as may be in flight, three runs in each."""
    async with process(storage, Gates(), slots=8, in_flight=many // 2) as runs:
        firsts = await asyncio.gather(*(post(runs, f"pass {n}-0") for n in range(many)))
        later = [
            await asyncio.gather(
                *(post(runs, f"pass {n}-{turn}", one) for n, one in enumerate(firsts))
            )
            for turn in (1, 2)
        ]
        for number, run_ids in enumerate(zip(firsts, *later, strict=True)):
            records = [await rested(runs, run_id) for run_id in run_ids]
            ends = [(one["started_at"], one["completed_at"]) for one in records]
            assert ends == sorted(ends)
            assert all(before[1] <= after[0] for before, after in pairwise(ends))
            expected = [f"pass {number}-{turn}" for turn in (0, 1)]
            assert await prompts(runs, run_ids[2]) == expected
        await until(lambda: not runs._context.thread_queues._waiting)
        assert not runs._context.executor.parked


async def test_a_run_waits_for_one_that_waits_for_a_person_and_says_so(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        asked = await post(runs, "pass one", approve="always")
        await runs.wait(asked, patience(), **OWN)
        behind = await post(runs, "pass two", asked)
        assert await waits_for(runs, behind) == {"run_id": asked, "why": "approval"}
    async with process(storage, gates) as runs:
        assert await waits_for(runs, behind) == {"run_id": asked, "why": "approval"}
        assert gates.calls.total() == 0
        await runs.approve(asked, by="me", **OWN)
        assert (await rested(runs, behind))["status"] == "completed"
        assert await prompts(runs, behind) == ["pass one"]


async def test_a_run_that_waits_for_one_in_doubt_says_so(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        doubtful = await post(runs, "lose one")
        await runs.wait(doubtful, patience(), **OWN)
        behind = await post(runs, "pass two", doubtful)
        assert await waits_for(runs, behind) == {"run_id": doubtful, "why": "in_doubt"}
    async with process(storage, gates) as runs:
        assert await waits_for(runs, behind) == {"run_id": doubtful, "why": "in_doubt"}
        await runs.cancel(doubtful, by="me", **OWN)
        assert (await rested(runs, behind))["status"] == "completed"


async def test_after_a_restart_a_thread_goes_on_where_it_was(storage: Storage) -> None:
    """With the run that had begun, before one that was told before it to begin again."""
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        failed = await post(runs, "fail one")
        second = await post(runs, "gate two", failed)
        third = await post(runs, "pass three", failed)
        await until(lambda: gates.waiting == ["two"])
        await runs.retry(failed, RetryRequest(), by="me", **OWN)
    async with process(storage, gates, slots=4) as runs:
        await until(lambda: gates.waiting == ["two"])
        assert await waits_for(runs, failed) == {"run_id": second, "why": "running"}
        assert await waits_for(runs, third) == {"run_id": second, "why": "running"}
        assert gates.calls["one"] == 1
        gates.end("two")
        assert (await rested(runs, third))["status"] == "completed"
        assert gates.calls["one"] == 2


@pytest.mark.parametrize("how", ["cancel", "reject", "expire"])
async def test_the_next_one_begins_however_the_one_before_it_ends(
    storage: Storage, how: str
) -> None:
    async with process(storage, Gates()) as runs:
        asked = await post(runs, "pass one", approve="always")
        await runs.wait(asked, patience(), **OWN)
        behind = await post(runs, "pass two", asked)
        match how:
            case "cancel":
                await runs.cancel(asked, by="me", **OWN)
            case "reject":
                await runs.reject(asked, by="me", **OWN)
            case _:
                assert await runs.deadlines.expire(asked)
        assert (await rested(runs, behind))["status"] == "completed"
        assert (await runs.get(asked, **OWN))["status"] == "cancelled"


async def test_one_that_waits_behind_another_can_be_cancelled_and_retried(
    storage: Storage,
) -> None:
    """It begins in its place then, with what went before it by the time it begins."""
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one")
        await until(lambda: gates.waiting)
        second, third = await post(runs, "pass two", first), await post(runs, "pass three", first)
        assert (await runs.cancel(second, by="me", **OWN))["status"] == "cancelled"
        assert await waits_for(runs, third) == {"run_id": first, "why": "running"}
        await runs.retry(second, RetryRequest(), by="me", **OWN)
        assert await waits_for(runs, second) == {"run_id": first, "why": "running"}
        gates.end("one")
        assert (await rested(runs, third))["status"] == "completed"
        assert (await rested(runs, second))["status"] == "completed"
        assert await prompts(runs, second) == ["gate one"]
        assert await prompts(runs, third) == ["gate one", "pass two"]
        await told(runs, second)


async def test_a_retry_of_an_earlier_run_waits_for_its_thread_and_repeats_no_other(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "pass zero")
        failed = await post(runs, "fail one", first)
        third = await post(runs, "gate two", first)
        await until(lambda: gates.waiting == ["two"])
        given = await prompts(runs, third)
        await runs.retry(failed, RetryRequest(), by="me", **OWN)
        fourth = await post(runs, "pass three", first)
        assert await waits_for(runs, failed) == {"run_id": third, "why": "running"}
        assert gates.calls["one"] == 1
        gates.end("two")
        assert (await rested(runs, fourth))["status"] == "completed"
        retried = await rested(runs, failed)

        assert (retried["status"], gates.calls["one"], gates.calls["two"]) == ("failed", 2, 1)
        assert await prompts(runs, failed) == ["pass zero"]
        assert await prompts(runs, third) == given
        assert await prompts(runs, fourth) == ["pass zero", "fail one", "gate two"]


async def test_a_retry_does_not_pass_a_run_that_is_about_to_begin(storage: Storage) -> None:
    """That one is pending as well, as long as it waits for a slot."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        first = await post(runs, "fail zero")
        await rested(runs, first)
        other = await post(runs, "gate other")
        await until(lambda: gates.waiting == ["other"])
        behind = await post(runs, "gate behind", first)
        assert (await runs.get(behind, **OWN))["queue_position"] == 1
        await runs.retry(first, RetryRequest(), by="me", **OWN)
        assert (await runs.get(first, **OWN))["queue_position"] is None
        gates.end("other")
        await until(lambda: gates.waiting == ["behind"])
        assert gates.calls["zero"] == 1
        gates.end("behind")
        assert (await rested(runs, first))["status"] == "failed"
        assert gates.calls["zero"] == 2
        assert (await rested(runs, other))["status"] == "completed"
        await until(lambda: not runs._context.thread_queues._at)  # emptied after the end is stored


async def test_what_went_before_is_fixed_with_the_first_checkpoint(storage: Storage) -> None:
    """So that a run is given the same wherever its process dies, and at its retry."""
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        first = await post(runs, "pass one")
        second = await post(runs, "gate two", first)
        await until(lambda: gates.waiting)
        given = (await runs.get(second, **OWN))["conversation"]
        [seen, *_] = await history(runs, second)
        assert seen["conversation"] == given
        assert given["turns"][0]["run_id"] == first
    async with process(storage, gates) as runs:
        await gates.end_next("two")
        assert (await rested(runs, second))["conversation"] == given
        await runs.remove(first, **OWN)
        assert (await runs.get(second, **OWN))["conversation"] == given


async def test_what_went_before_stays_as_it_was_over_a_retry(storage: Storage) -> None:
    """Whatever has become of the runs before since: removed, or retried to another end."""
    gates = Gates()
    async with process(storage, gates, limits=ONCE) as runs:
        first = await post(runs, "pass one")
        second = await post(runs, "stumble two", first)
        third = await post(runs, "fail three", first)
        given = (await rested(runs, third))["conversation"]
        assert given is not None
        assert [turn["status"] for turn in given["turns"]] == ["completed", "failed"]
        await runs.remove(first, **OWN)
        await runs.retry(second, RetryRequest(), by="me", **OWN)
        assert (await rested(runs, second))["status"] == "completed"

        await runs.retry(third, RetryRequest(), by="me", **OWN)

        retried = await rested(runs, third)
        assert (retried["conversation"], gates.calls["three"]) == (given, 2)


async def test_a_retry_that_was_stored_is_carried_out_though_it_could_not_be_read_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stored, so that it is carried out, though nobody asks for anything more."""
    gates = Gates()
    async with process(storage, gates, limits=ONCE) as runs:
        first = await post(runs, "stumble one")
        await rested(runs, first)
        find = storage.index.find

        async def failing(run_id: str) -> Any:
            monkeypatch.setattr(storage.index, "find", find)
            raise storage.errors[0]("disk I/O error")

        monkeypatch.setattr(storage.index, "find", failing)
        with pytest.raises(StorageUnavailable):
            await runs.retry(first, RetryRequest(), by="me", **OWN)

        await until(lambda: gates.calls["one"] == 2)
        second = await post(runs, "pass two", first)
        assert (await rested(runs, second))["status"] == "completed"
        assert (await rested(runs, first))["status"] == "completed"


async def test_events_of_a_run_in_a_thread_are_those_of_a_run_alone(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "pass one")
        second = await post(runs, "pass one", first)
        await rested(runs, second)

        assert types(await told(runs, second)) == types(await told(runs, first))


async def test_a_fork_begins_a_thread_with_what_its_origin_was_given(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        first = await post(runs, "pass one")
        second = await post(runs, "fail two", first)
        await rested(runs, second)
        page = await runs.history(second, limit=1, **OWN)
        checkpoint = page["checkpoints"][0]["checkpoint_id"]
        forked = (await runs.fork(second, checkpoint, Edits(prompt="pass three"), **OWN))["run_id"]
        record = await rested(runs, forked)

        assert record["thread_id"] == forked
        assert await prompts(runs, forked) == ["pass one"]
        for prompt, before in (("pass four", []), ("pass five", ["pass four"])):
            behind = await post(runs, prompt, forked)
            await rested(runs, behind)
            assert await prompts(runs, behind) == ["pass one", "pass three", *before]


async def test_a_fork_does_not_count_twice_what_was_left_out_of_its_origin(
    storage: Storage,
) -> None:
    async with process(storage, Gates()) as runs:
        runs._context.conversations._characters = 400
        first = await post(runs, "pass 0")
        for number in range(1, 9):
            last = await post(runs, f"pass {number}", first)
        await rested(runs, last)
        page = await runs.history(last, limit=1, **OWN)
        checkpoint = page["checkpoints"][0]["checkpoint_id"]
        forked = (await runs.fork(last, checkpoint, Edits(prompt="pass on"), **OWN))["run_id"]
        for number in range(8, 12):  # eight runs before the fork, then the fork, and so on
            await rested(runs, forked)
            behind = await post(runs, f"pass {number}", forked)
            conversation = (await rested(runs, behind))["conversation"]
            assert conversation is not None
            assert len(conversation["turns"]) + conversation["left_out"] == number + 1


async def test_a_run_of_a_long_thread_is_given_what_the_run_before_it_was_given(
    storage: Storage,
) -> None:
    """So that the length of a thread is not read again with every run of it."""
    gates, read = Gates(), list[str]()
    async with process(storage, gates) as runs:
        conversations = runs._context.conversations
        kept = conversations._read

        async def counted(run_id: str) -> RunState | None:
            read.append(run_id)
            return await kept(run_id)

        conversations._read = counted
        posted = [await post(runs, "gate 0")]
        posted += [await post(runs, f"pass {number}", posted[0]) for number in range(1, 45)]
        await gates.end_next("0")
        await rested(runs, posted[-1])

        assert await prompts(runs, posted[-1]) == [
            "gate 0",
            *(f"pass {number}" for number in range(1, 44)),
        ]
        assert read == posted[:-1]


async def test_a_run_that_was_retried_meanwhile_is_shown_as_it_has_ended_now(
    storage: Storage,
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one")
        await until(lambda: gates.waiting)
        second = await post(runs, "pass two", first)
        gates.end("one", ToolError("not today", retryable=False))
        await rested(runs, second)
        await runs.retry(first, RetryRequest(), by="me", **OWN)
        await gates.end_next("one")
        await rested(runs, first)
        third = await post(runs, "pass three", first)
        await rested(runs, third)

        for run_id, statuses in ((second, ["failed"]), (third, ["completed", "completed"])):
            conversation = (await runs.get(run_id, **OWN))["conversation"]
            assert conversation is not None
            assert [turn["status"] for turn in conversation["turns"]] == statuses


async def test_runs_that_were_removed_do_not_go_before_others(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        first = await post(runs, "pass one")
        posted = [await post(runs, f"pass {number}", first) for number in ("two", "three")]
        await rested(runs, posted[-1])
        await runs.remove(first, **OWN)
        last = await post(runs, "pass four", first)
        await rested(runs, last)

        assert await prompts(runs, posted[-1]) == ["pass one", "pass two"]
        conversation = (await runs.get(last, **OWN))["conversation"]
        assert conversation is not None
        assert [turn["prompt"] for turn in conversation["turns"]] == ["pass two", "pass three"]
        assert conversation["left_out"] == 0


async def test_what_does_not_fit_is_left_out_and_counted(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        runs._context.conversations._characters = 1_200
        first = await post(runs, "pass 0")
        for number in range(1, 30):
            last = await post(runs, f"pass {number}", first)
        await rested(runs, last)

        conversation = (await runs.get(last, **OWN))["conversation"]
        assert conversation is not None
        assert 0 < len(conversation["turns"]) < 29
        assert len(conversation["turns"]) + conversation["left_out"] == 29
        assert conversation["turns"][-1]["prompt"] == "pass 28"


async def test_what_waits_behind_others_counts_among_the_queued(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one")
        await until(lambda: gates.waiting)
        for number in range(3):
            await post(runs, f"pass {number}", first)
        runs._context.executor._max_queued = 2  # and one more may be in flight
        with pytest.raises(QueueFull):
            await post(runs, "pass by", first)


async def test_the_thread_of_another_or_none_is_not_found(storage: Storage) -> None:
    """Neither makes a run, and both take the same steps."""
    async with process(storage, Gates()) as runs:
        hers = await post(runs, "pass one", owner="alice")
        await runs.wait(hers, patience(), owner="alice")
        for thread_id in (hers, "nothing"):
            with pytest.raises(ThreadNotFound):
                await post(runs, "pass two", thread_id, owner="bob")
        assert (await runs.search("bob", Search()))["runs"] == []


async def test_a_thread_that_goes_in_the_moment_of_a_post_is_not_found(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        first = await post(runs, "pass one")
        await rested(runs, first)
        owned = storage.threads.owned

        async def removed_meanwhile(thread_id: str, owner: str | None) -> bool:
            found = await owned(thread_id, owner)
            if found:
                await runs.remove(first, **OWN)
            return found

        storage.threads.owned = removed_meanwhile  # type: ignore[method-assign]
        key = IdempotencyKey(name="k", fingerprint="f")
        with pytest.raises(ThreadNotFound):
            await post(runs, "pass two", first, key=key)
        assert (await runs.search("default", Search()))["runs"] == []


async def test_a_thread_is_removed_whole_or_not_at_all(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "pass one", thread_name="mine")
        second = await post(runs, "gate two", first)
        await until(lambda: gates.waiting)
        with pytest.raises(ThreadNotSettled):
            await runs.threads.remove(first, **OWN)
        with pytest.raises(ThreadNotFound):
            await runs.threads.remove(first, owner="bob")
        assert (await runs.threads.get(first, **OWN))["runs"] == 2
        gates.end("two")
        await rested(runs, second)
        other = await post(runs, "pass other")
        await rested(runs, other)

        await runs.threads.remove(first, **OWN)

        with pytest.raises(ThreadNotFound):
            await runs.threads.get(first, **OWN)
        left = await runs.search("default", Search())
        assert [run["run_id"] for run in left["runs"]] == [other]
        again = await post(runs, "pass three", thread_name="mine")
        assert (await rested(runs, again))["thread_id"] == again


async def test_nothing_of_a_thread_is_removed_where_a_run_was_told_to_go_on_meanwhile(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "pass one")
        failed = await post(runs, "fail two", first)
        await rested(runs, failed)
        settle = runs._deletion._settle

        async def retried_meanwhile(state: Any) -> None:
            await settle(state)
            if state["run_id"] == failed:
                await runs.retry(failed, RetryRequest(), by="me", **OWN)

        monkeypatch.setattr(runs._deletion, "_settle", retried_meanwhile)
        with pytest.raises(ThreadNotSettled):
            await runs.threads.remove(first, **OWN)

        assert (await runs.get(first, **OWN))["status"] == "completed"
        assert (await rested(runs, failed))["status"] == "failed"
        assert len((await rested(runs, failed))["execution_log"]) == 2


@pytest.mark.parametrize(
    "name", ["a\u202eb", "a\u200bb", "a\u2028b", "\ufeffa", "a\x9bb", "a\u2066b", "a\ue000b"]
)
async def test_a_name_has_no_characters_that_nobody_sees(storage: Storage, name: str) -> None:
    async with process(storage, Gates()) as runs:
        first = await post(runs, "pass one")
        with pytest.raises(ChoiceRejected):
            await post(runs, "pass two", thread_name=name)
        with pytest.raises(ChoiceRejected):
            await runs.threads.change(first, ThreadChange(renamed=True, name=name), **OWN)


async def test_names_that_look_alike_are_one_however_they_are_written(storage: Storage) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    async with process(storage, Gates()) as runs:
        first = await post(runs, "pass one", thread_name=decomposed)
        second = await post(runs, "pass two", thread_name=composed)
        for one in (first, second):
            await runs.wait(one, patience(), owner=None)
        for name in (composed, decomposed):
            [found] = (await runs.threads.page("default", limit=10, name=name))["threads"]
            assert (found["name"], found["runs"]) == (composed, 2)
        other = await post(runs, "pass three")
        change = ThreadChange(renamed=True, name=decomposed)
        with pytest.raises(NameTaken):
            await runs.threads.change(other, change, **OWN)


async def test_a_name_is_one_threads_of_an_owner_and_goes_with_its_last_run(
    storage: Storage,
) -> None:
    async with process(storage, Gates()) as runs:
        first, other = await post(runs, "pass one"), await post(runs, "pass two")
        hers = await post(runs, "pass three", owner="alice")
        for one in (first, other, hers):
            await runs.wait(one, patience(), owner=None)
        named = ThreadChange(renamed=True, name="plans", metadata={"team": "a"})
        assert (await runs.threads.change(first, named, **OWN))["name"] == "plans"
        assert (await runs.threads.change(hers, named, owner="alice"))["name"] == "plans"
        with pytest.raises(NameTaken):
            await runs.threads.change(other, named, **OWN)
        with pytest.raises(ThreadNotFound):
            await runs.threads.change(hers, named, **OWN)
        kept = await runs.threads.change(first, ThreadChange(), **OWN)
        assert (kept["name"], kept["metadata"]) == ("plans", {"team": "a"})
        assert (await runs.threads.get(other, **OWN))["metadata"] == {}

        await runs.remove(first, **OWN)

        assert (await runs.threads.change(other, named, **OWN))["name"] == "plans"


async def test_threads_are_listed_by_their_newest_runs_a_page_at_a_time(storage: Storage) -> None:
    async with process(storage, Gates()) as runs:
        firsts = [await post(runs, f"pass {n}") for n in range(5)]
        last = await post(runs, "pass again", firsts[1])
        await post(runs, "pass hers", owner="alice")
        await rested(runs, last)
        order = [firsts[1], *(firsts[n] for n in (4, 3, 2, 0))]
        cursor, found = None, []
        for _ in range(3):
            page = await runs.threads.page("default", limit=2, cursor=cursor)
            found += page["threads"]
            cursor = page["next_cursor"]

        assert cursor is None
        assert [one["thread_id"] for one in found] == order
        assert [one["runs"] for one in found] == [2, 1, 1, 1, 1]
        assert found[0]["last_run"]["run_id"] == last
        within = await runs.search("default", Search(thread_id=firsts[1]))
        assert [one["run_id"] for one in within["runs"]] == [last, firsts[1]]
        assert within["total"] == 2
        by_words = await runs.search("default", Search(thread_id=firsts[1], text="again"))
        assert [one["run_id"] for one in by_words["runs"]] == [last]


async def test_no_post_is_lost_while_the_storage_does_not_say_whose_turn_it_is(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates, fails = Gates(), True
    head = storage.threads.head

    async def failing(thread_id: str) -> Any:
        if fails:
            raise storage.errors[0]("disk I/O error")
        return await head(thread_id)

    monkeypatch.setattr("graph.runs.threads.PAUSE", 0.01)
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one")
        await until(lambda: gates.waiting)
        monkeypatch.setattr(storage.threads, "head", failing)
        second = await post(runs, "pass two", first)
        gates.end("one")
        await rested(runs, first)
        fails = False
        assert (await rested(runs, second))["status"] == "completed"


async def test_a_run_that_names_its_thread_is_not_lost_while_the_storage_does_not_say_which(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates, asked, fails = Gates(), 0, True
    of_run = storage.threads.of_run

    async def failing(run_id: str) -> Any:
        nonlocal asked
        asked += 1
        if fails:
            raise storage.errors[0]("disk I/O error")
        return await of_run(run_id)

    monkeypatch.setattr("graph.runs.threads.PAUSE", 0.01)
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one", thread_name="mine")
        await until(lambda: gates.waiting)
        monkeypatch.setattr(storage.threads, "of_run", failing)
        posting = asyncio.create_task(post(runs, "pass two", thread_name="mine"))
        await until(lambda: asked > 1)
        fails = False
        second = await posting
        assert await waits_for(runs, second) == {"run_id": first, "why": "running"}
        gates.end("one")
        assert (await rested(runs, second))["thread_id"] == first


@pytest.mark.parametrize("seed", [0, *slow(*range(1, 12))])
async def test_whatever_happens_no_two_runs_of_a_thread_are_under_way(
    tmp_path: Path, seed: int
) -> None:
    """Posted, ended, cancelled, retried, asked about, left by processes: all in random order."""
    chance, gates = random.Random(seed), Gates()
    threads: dict[str, list[str]] = {}
    made = 0
    url = f"sqlite:///{tmp_path}/runs.db"
    for _ in range(3):
        orderly = chance.random() < 0.5
        # Opened anew, so that nothing of the process before is still being written.
        async with (
            open_storage(url) as storage,
            process(storage, gates, slots=3, orderly=orderly) as runs,
        ):
            for _ in range(25):
                thread_id = chance.choice([None, *threads])
                kind = chance.choice(["post", "post", "end", "end", "cancel", "retry", "decide"])
                known = [one for some in threads.values() for one in some]
                run_id = chance.choice(known) if known else None
                if kind == "post" or run_id is None:
                    made += 1
                    what = chance.choice(["gate", "pass", "fail"])
                    approve = chance.choice(["never", "never", "always"])
                    one = await post(runs, f"{what} {made}", thread_id, approve=approve)
                    threads.setdefault(thread_id or one, []).append(one)
                elif kind == "end" and gates.waiting:
                    gates.end(chance.choice(gates.waiting))
                else:
                    await _order(runs, kind, run_id)
                await _check_order(storage, threads)
                await asyncio.sleep(chance.choice([0, 0, 0.005]))
    async with open_storage(url) as storage, process(storage, gates, slots=3) as runs:
        await until(lambda: _all_end(runs, gates, threads))
        await _check_order(storage, threads)
        for thread_id, members in threads.items():
            for run_id in members:
                record = await runs.get(run_id, **OWN)
                assert record["thread_id"] == thread_id
                await told(runs, run_id)


async def _order(runs: Runs, kind: str, run_id: str) -> None:
    with suppress(WrongStatus):  # it went on between the look and the order
        await _ordered(runs, kind, run_id)


async def _ordered(runs: Runs, kind: str, run_id: str) -> None:
    record = await runs.get(run_id, **OWN)
    if kind == "cancel" and "cancel" in record["actions"]:
        await runs.cancel(run_id, by="me", **OWN)
    elif kind == "retry" and "retry" in record["actions"]:
        await runs.retry(run_id, RetryRequest(), by="me", **OWN)
    elif kind == "decide" and "approve" in record["actions"]:
        await runs.approve(run_id, by="me", **OWN)


async def _check_order(storage: Storage, threads: dict[str, list[str]]) -> None:
    for members in threads.values():
        statuses = [await row_status(storage, run_id) for run_id in members]
        assert sum(status in ("running", "waiting") for status in statuses) <= 1, statuses


async def _all_end(runs: Runs, gates: Gates, threads: dict[str, list[str]]) -> bool:
    for label in gates.waiting:
        gates.end(label)
    unsettled = False
    for members in threads.values():
        for run_id in members:
            record = await runs.get(run_id, **OWN)
            if "approve" in record["actions"]:
                await runs.approve(run_id, by="me", **OWN)
            unsettled |= "cancel" in record["actions"]
    return not unsettled


async def test_a_run_that_goes_on_cannot_be_removed_from_its_thread(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        first = await post(runs, "gate one")
        behind = await post(runs, "pass two", first)
        with pytest.raises(NotSettled):
            await runs.remove(behind, **OWN)
        await gates.end_next("one")
        await rested(runs, behind)
        await runs.remove(first, **OWN)
        assert (await runs.threads.get(first, **OWN))["runs"] == 1
        third = await post(runs, "pass three", first)
        assert (await rested(runs, third))["status"] == "completed"
        assert await prompts(runs, third) == ["pass two"]
