"""What several people ask of one run at once: one of them is obeyed, the others are told so."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.commands.approval import NotWaiting
from graph.commands.retry import NotRetryable, RetryRequest
from graph.commands.seeded import Edits
from graph.commands.threads import NotSettled
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.service import Runs
from graph.state import DEFAULT_LIMITS, Status
from graph.state.row import RunRow
from graph.storage.search import Search
from graph.storage.storage import Storage
from tests.support.examples import slow
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience, until
from tests.support.runs.live_runs import (
    Gates,
    process,
    rested,
    row_status,
    start,
    told,
    types,
)
from tests.support.servers.server_process import serving

#: Everybody asks at once, each time in another order; most times are slow ones.
SEEDS = [0, 1, *slow(*range(2, 10))]

FAILING = "pass a, then fail b"
SKIP = RetryRequest(skip=(2,))


async def failed(runs: Runs) -> str:
    run_id = await start(runs, FAILING)
    assert (await rested(runs, run_id))["status"] == "failed"
    return run_id


async def waiting(runs: Runs) -> str:
    run_id = (await runs.start("pass a", approve="always"))["run_id"]
    assert (await runs.wait(run_id, timeout=patience(), owner=None))["status"] == "waiting"
    return run_id


async def at_once(
    asked: dict[str, Callable[[], Awaitable[Any]]], seed: int
) -> dict[str, Exception | None]:
    """How each was answered: None is a yes. They begin in any order, and a few turns apart."""
    chance = random.Random(seed)

    async def ask(act: Callable[[], Awaitable[Any]], turns: int) -> Exception | None:
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            await act()
        except Exception as error:
            return error
        return None

    names = chance.sample(sorted(asked), len(asked))
    answers = await asyncio.gather(*(ask(asked[name], chance.randrange(6)) for name in names))
    return dict(zip(names, answers, strict=True))


async def gone(runs: Runs, storage: Storage, run_id: str) -> None:
    """Nothing is left of a removed run, its checkpoints and receipts neither."""
    with pytest.raises(RunNotFound):
        await runs.get(run_id, owner=None)
    config: Any = {"configurable": {"thread_id": run_id}}
    assert [one async for one in storage.saver.alist(config)] == []
    assert await storage.index.find(run_id) is None


async def listed(storage: Storage, run_id: str, status: str) -> None:
    """The index follows the record, and soon."""
    async with asyncio.timeout(patience()):
        while await row_status(storage, run_id) != status:  # noqa: ASYNC110 - that is no event
            await asyncio.sleep(0.002)


def before(storage: Storage, monkeypatch: pytest.MonkeyPatch, name: str, act: Any) -> None:
    """Do something just after the index has answered a call of this name, the first time."""
    method, first = getattr(storage.index, name), [True]

    async def later(*arguments: Any, **named: Any) -> Any:
        answer = await method(*arguments, **named)
        if first.pop() if first else False:
            await act()
        return answer

    monkeypatch.setattr(storage.index, name, later)


# Removing against going on


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_of_removing_and_retrying_at_once_one_is_obeyed(storage: Storage, seed: int):
    """Either the run is gone with all of it, or it goes on to its end and can be seen to."""
    async with process(storage, Gates()) as runs:
        run_id = await failed(runs)
        answers = await at_once(
            {
                "remove": lambda: runs.remove(run_id, owner=None),
                "retry": lambda: runs.retry(run_id, SKIP, by="me", owner=None),
            },
            seed,
        )
        if answers["remove"] is None and isinstance(answers["retry"], RunNotFound):
            await gone(runs, storage, run_id)
        elif isinstance(answers["remove"], NotSettled):
            assert answers["retry"] is None
            assert (await rested(runs, run_id))["status"] == "completed"
            await listed(storage, run_id, "completed")
            await told(runs, run_id)
        else:  # it was retried, came to its end, and was removed then
            assert answers == {"remove": None, "retry": None}
            await gone(runs, storage, run_id)


async def test_a_retry_that_comes_while_the_run_is_being_removed_is_not_undone(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered with a yes is kept: the run goes on, and is listed as going on."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "gate a, then fail b")
        await gates.end_next("a")
        await rested(runs, run_id)
        retried: list[asyncio.Task[Any]] = []

        async def retry() -> None:
            asking = runs.retry(run_id, RetryRequest(from_step=1), by="me", owner=None)
            retried.append(asyncio.create_task(asking))
            await until(lambda: retried[0].done())

        before(storage, monkeypatch, "find", retry)
        with pytest.raises(NotSettled):
            await runs.remove(run_id, owner=None)
        await retried[0]
        assert await row_status(storage, run_id) in ("pending", "running")
        await gates.end_next("a")
        assert (await rested(runs, run_id))["marks"][0]["what"] == "retry"
        await listed(storage, run_id, "failed")
        assert types(await told(runs, run_id)).count("run.retried") == 1


async def test_a_sweep_leaves_a_run_that_was_retried_since_it_looked(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has come to another end by then, which is kept as long as any other."""
    async with process(storage, Gates()) as runs:
        run_id = await failed(runs)
        remove = storage.remove

        async def removing(found: Any, thread_id: str | None, *, by: str) -> int:
            await runs.retry(run_id, SKIP, by="me", owner=None)
            await rested(runs, run_id)
            return await remove(found, thread_id, by=by)

        monkeypatch.setattr(runs._deletion, "_storage", replace(storage, remove=removing))
        assert await runs.remove_settled([run_id]) == 0
        assert (await runs.get(run_id, owner=None))["status"] == "completed"
        await listed(storage, run_id, "completed")


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_of_a_sweep_and_retries_every_run_is_removed_or_goes_on(storage: Storage, seed: int):
    async with process(storage, Gates(), slots=4) as runs:
        ids = [await failed(runs) for _ in range(6)]
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            run_id: partial(runs.retry, run_id, SKIP, by="me", owner=None) for run_id in ids
        }
        answers = await at_once({**asked, "sweep": lambda: runs.remove_settled(ids)}, seed)
        assert answers["sweep"] is None
        for run_id in ids:
            if await storage.index.find(run_id) is None:
                await gone(runs, storage, run_id)
            else:
                assert answers[run_id] is None
                assert (await rested(runs, run_id))["status"] == "completed"
                await listed(storage, run_id, "completed")


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_a_fork_of_a_run_that_is_removed_is_made_whole_or_not_at_all(
    storage: Storage, seed: int
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed(runs)
        page = await runs.history(run_id, owner=None, limit=100)
        first = page["checkpoints"][-1]["checkpoint_id"]
        forks: list[str] = []

        async def fork() -> None:
            made = await runs.fork(run_id, first, Edits(prompt="pass c"), owner=None)
            forks.append(made["run_id"])

        answers = await at_once(
            {"remove": lambda: runs.remove(run_id, owner=None), "fork": fork}, seed
        )
        assert answers["remove"] is None
        await gone(runs, storage, run_id)
        if answers["fork"] is None:
            record = await rested(runs, forks[0])
            assert record["status"] == "completed"
            assert record["forked_from"] == {"run_id": run_id, "checkpoint_id": first}
            await told(runs, forks[0])
        else:
            assert isinstance(answers["fork"], RunNotFound), answers["fork"]
            assert (await storage.index.search("default", Search())).rows == []


# Deciding


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_of_many_decisions_at_once_exactly_one_counts(storage: Storage, seed: int):
    """Three approve, three reject and it expires: the others are told that it is decided."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        named = {
            f"{word} {n}": partial(ask, run_id, by=f"{word} {n}", owner=None)
            for word, ask in (("yes", runs.approve), ("no", runs.reject))
            for n in range(3)
        }
        answers = await at_once({**named, "server": lambda: runs.deadlines.expire(run_id)}, seed)
        record = await settled(runs, run_id)
        (mark,) = record["marks"]
        won = [name for name, error in answers.items() if error is None and name != "server"]
        lost = [error for error in answers.values() if error is not None]
        assert won == ([] if mark["by"] == "server" else [mark["by"]])
        assert all(isinstance(error, NotWaiting) for error in lost)
        assert len(lost) == 6 - len(won)
        told_as = {"y": ("approved", "completed"), "n": ("rejected", "cancelled")}
        what, status = told_as.get(mark["by"][0], ("expired", "cancelled"))
        assert (mark["what"], record["status"]) == (what, status)
        assert gates.calls["a"] == (1 if what == "approved" else 0)
        await listed(storage, run_id, status)
        await told(runs, run_id)


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_is_told_yes_finds_it_in_the_record_also_beside_a_cancellation(
    storage: Storage, seed: int
) -> None:
    """A run may be cancelled after its approval; no decision is answered that was not carried out.

    Who cancels a run that was rejected just before is answered with the record that says so.
    """
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await waiting(runs)
        answers = await at_once(
            {
                "approved": lambda: runs.approve(run_id, by="me", owner=None),
                "rejected": lambda: runs.reject(run_id, by="me", owner=None),
                "cancel": lambda: runs.cancel(run_id, by="me", owner=None),
                "expired": lambda: runs.deadlines.expire(run_id),
            },
            seed,
        )
        record = await settled(runs, run_id)
        marks = [mark["what"] for mark in record["marks"]]
        decided = [name for name in ("approved", "rejected") if answers[name] is None]
        assert len(decided) <= 1
        assert decided == [what for what in marks if what in ("approved", "rejected")]
        for name in {"approved", "rejected"} - {*decided}:
            assert isinstance(answers[name], NotWaiting)
        assert marks in (
            ["approved"],
            ["rejected"],
            ["expired"],
            ["cancel"],
            ["approved", "cancel"],
        )
        if answers["cancel"] is not None:
            assert isinstance(answers["cancel"], AlreadySettled)
            assert record["status"] == "completed"
        await told(runs, run_id)


async def settled(runs: Runs, run_id: str) -> Any:
    """The record of a run that has just been decided about, once it has settled."""
    async with asyncio.timeout(patience()):
        while (await runs.get(run_id, owner=None))["status"] == "waiting":  # noqa: ASYNC110 - that is no event
            await asyncio.sleep(0.002)
    return await rested(runs, run_id)


# Retrying


@pytest.mark.parametrize("seed", SEEDS[:5])
async def test_of_many_retries_at_once_one_is_obeyed(storage: Storage, seed: int):
    """The record has one mark, the step one further attempt; the others are told where it is."""
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass a, then fail b, then gate c")
        await rested(runs, run_id)
        names = [f"person {number}" for number in range(8)]
        answers = await at_once(
            {name: partial(runs.retry, run_id, SKIP, by=name, owner=None) for name in names},
            seed,
        )
        await gates.end_next("c")
        record = await rested(runs, run_id)
        won = [name for name, error in answers.items() if error is None]
        lost = [error for error in answers.values() if error is not None]
        assert [mark["by"] for mark in record["marks"]] == won
        assert len(won) == 1
        assert all(isinstance(error, NotRetryable) for error in lost), lost
        assert Counter(
            error.status for error in lost if isinstance(error, NotRetryable)
        ).keys() <= {
            "pending",
            "running",
        }
        assert gates.calls == {"a": 1, "b": 1, "c": 1}
        await told(runs, run_id)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_run_that_is_retried_and_cancelled_at_once_stands_where_its_marks_say(
    storage: Storage, seed: int
) -> None:
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await failed(runs)
        answers = await at_once(
            {
                "retry": lambda: runs.retry(run_id, SKIP, by="me", owner=None),
                "cancel": lambda: runs.cancel(run_id, by="me", owner=None),
            },
            seed,
        )
        assert answers["retry"] is None
        record = await rested(runs, run_id)
        marks = [mark["what"] for mark in record["marks"]]
        if answers["cancel"] is None:
            assert (record["status"], marks) == ("cancelled", ["retry", "cancel"])
        else:
            assert isinstance(answers["cancel"], AlreadySettled)
            assert (record["status"], marks) == ("completed", ["retry"])
        await listed(storage, run_id, record["status"])
        seen = types(await told(runs, run_id))
        assert seen.count("run.retried") == 1
        assert seen[-1] == "end"


async def test_a_projection_of_an_earlier_end_changes_no_run_that_goes_on(storage: Storage):
    """It may come late, when the run has been retried."""
    index = storage.index
    await index.accept(at("a", status="running"))
    assert await index.request_retry("a", ordered())

    late = await index.project("a", "failed", started_at=1.0, completed_at=2.0, generation=0)
    now = await index.project("a", "running", started_at=3.0, completed_at=None, generation=1)

    assert (late, now) == (False, True)
    assert await row_status(storage, "a") == "running"


def at(run_id: str, *, status: Status) -> RunRow:
    return RunRow(
        run_id=run_id, owner="me", prompt="p", limits=DEFAULT_LIMITS, created_at=0.0, status=status
    )


def ordered() -> Any:
    return {"from_step": 1, "input": None, "skip": [], "generation": 1, "by": "me", "at": 1.0}


# Over HTTP


def test_over_http_one_is_obeyed_and_the_others_are_told_why_not(tmp_path: Path) -> None:
    """Every 409 says where the run is, and that is true: nobody is told that it failed."""
    with serving(tmp_path, tools=GATE) as server, ThreadPoolExecutor(8) as people:

        def ask(run_id: str, *acts: str) -> list[httpx.Response]:
            begin = threading.Barrier(len(acts))

            def post(act: str) -> httpx.Response:
                begin.wait()
                body = {"skip": [1]} if act == "retry" else {}
                return server.client.post(f"/runs/{run_id}/{act}", json=body)

            return list(people.map(post, acts))

        failed = server.post("calculate 1 / 0, then pass gate one")
        server.settled(failed)
        retries = ask(failed, *["retry"] * 8)
        server.open_gate("one")
        once = server.settled(failed)
        body = {"prompt": "calculate 1 + 1", "mode": "plan"}
        asked = server.client.post("/runs/wait?timeout=300", json=body).json()["run_id"]
        decisions = ask(asked, *["approve", "reject"] * 4)
        decided = server.settled(asked)
    assert sorted(answer.status_code for answer in retries) == [200, *[409] * 7]
    assert len(once["marks"]) == 1
    for answer in retries:
        if answer.status_code == 409:
            assert answer.json()["type"] == "urn:runwright:problem:not-retryable"
            assert any(status in answer.json()["detail"] for status in ("pending", "running"))
    assert sorted(answer.status_code for answer in decisions) == [200, *[409] * 7]
    (won,) = [answer.json()["marks"] for answer in decisions if answer.status_code == 200]
    assert decided["marks"] == won
    for answer in decisions:
        if answer.status_code == 409:
            assert answer.json()["type"] == "urn:runwright:problem:not-waiting"
