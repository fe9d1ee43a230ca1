"""How runs stand in a process: one record each, gone with the last that has to do with it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.queue.executor import Executor
from graph.record.record import Record
from graph.runs.accept import RunPolicy
from graph.runs.context import RunContext, RunNotFound, make_context
from graph.runs.recovery import MAX_STARTS
from graph.runs.runner import Runner
from graph.service import Runs
from graph.state import Approve
from graph.state.row import ApprovalAnswer, RetryCommand, RunRow
from graph.state.status import SETTLED, WrongStatus
from graph.storage.open import open_storage
from graph.storage.storage import Storage, StorageUnavailable
from tests.support.patience import patience, until
from tests.support.runs.live_runs import AT_ONCE, Gates, process, rested

OWNER = "default"

Work = Callable[[str], Awaitable[None]]


# A worker: it never saw the acceptance, and knows a run by its row alone.


@asynccontextmanager
async def working(
    storage: Storage, gates: Gates
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Executes a run by its id, with a runner that has nothing but the storage."""
    executor = Executor(slots=1, max_queued=10)
    context: RunContext = make_context(
        gates.graph(storage, executor, None), storage, executor, gates.tools, gates.threads
    )
    executor.start(Runner(context).execute, context.live.release)

    async def work(run_id: str) -> None:
        executor.enqueue(context.live.of(run_id), OWNER)
        await until(lambda: len(context.live) == 0)

    try:
        yield work
    finally:
        await executor.stop(grace=0)


async def accepted(storage: Storage, prompt: str, approve: Approve = "never") -> str:
    row = RunRow(
        run_id=str(uuid4()),
        owner=OWNER,
        prompt=prompt,
        limits=AT_ONCE,
        created_at=time.time(),
        approve=approve,
    )
    await storage.index.accept(row)
    return row.run_id


async def record(storage: Storage, run_id: str) -> Record:
    gates, executor = Gates(), Executor(slots=1, max_queued=1)
    graph = gates.graph(storage, executor, None)
    runs = Runs(make_context(graph, storage, executor, gates.tools), RunPolicy(AT_ONCE))
    return await runs.get(run_id, owner=OWNER)


def marks(record: Record) -> list[str]:
    return [mark["what"] for mark in record["marks"]]


async def test_a_worker_drives_a_run_that_another_process_accepted(storage: Storage) -> None:
    """Nothing is marked: nobody has left it."""
    gates = Gates()
    run_id = await accepted(storage, "pass a, then stumble b")
    async with working(storage, gates) as work:
        await work(run_id)
    done = await record(storage, run_id)
    assert (done["status"], marks(done), dict(gates.calls)) == ("completed", [], {"a": 1, "b": 2})


async def test_a_worker_carries_out_what_was_ordered_elsewhere(storage: Storage) -> None:
    """A decision, a cancellation, and a retry: each stands in the row."""
    gates = Gates()
    async with working(storage, gates) as work:
        waiting = await accepted(storage, "pass a", "always")
        await work(waiting)
        assert (await record(storage, waiting))["status"] == "waiting"
        answer = ApprovalAnswer(
            what="approved", at=time.time(), by="elsewhere", reason=None, plan=None
        )
        assert await storage.index.decide(waiting, answer)
        await work(waiting)

        cancelled = await accepted(storage, "pass b")
        await storage.index.request_cancel(cancelled, at=time.time(), by="elsewhere")
        await work(cancelled)

        failed = await accepted(storage, "fail c")
        await work(failed)
        command = RetryCommand(
            from_step=1, input={"label": "d"}, skip=[], generation=1, by="else", at=time.time()
        )
        assert await storage.index.request_retry(failed, command)
        await work(failed)

    ends = [await record(storage, one) for one in (waiting, cancelled, failed)]
    assert [one["status"] for one in ends] == ["completed", "cancelled", "failed"]
    assert [marks(one) for one in ends] == [["approved"], ["cancel"], ["retry"]]
    assert dict(gates.calls) == {"a": 1, "c": 1, "d": 1}


@pytest.mark.parametrize("suspects", [1, 3])
async def test_who_waits_for_a_quarantined_run_does_not_keep_it_from_going_on(
    tmp_path: Path, suspects: int
) -> None:
    """Neither by a slot nor by a place, whoever was accepted first."""
    gates = Gates()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        run_ids = [await accepted(storage, f"pass {number}") for number in range(6)]
        for run_id in run_ids[-suspects:]:
            await storage.index.note_start(run_id, starts=MAX_STARTS - 1, checkpoint_id=None)
        async with process(storage, gates, slots=1) as runs:
            records = [await rested(runs, run_id) for run_id in run_ids]
    assert {record["status"] for record in records} == {"completed"}
    assert set(gates.calls.values()) == {1}


# Many orders at random moments.


Order = Callable[[Runs, str], Awaitable[Record | None]]


class Orders:
    """One client's orders about runs of its own making, and what became of each."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.chance = chance
        self.runs: Runs | None = None
        self.run_ids: list[str] = []
        self.given: dict[str, str] = {}  # by what it was given as, the run that it was about
        self.removed: set[str] = set()
        self._names = (f"{name} {number}" for number in count())

    async def start(self) -> None:
        verb, approve = self.chance.choice(["pass", "fail", "stumble"]), self.chance.random() < 0.5
        prompt = f"pass {next(self._names)}, then {verb} {next(self._names)}"
        made = await self._answered(
            lambda runs, _: runs.start(prompt, approve="always" if approve else "never")
        )
        if made:
            self.run_ids.append(made["run_id"])

    async def order(self) -> None:
        run_id = self.chance.choice(self.run_ids)
        orders: dict[str, Order] = {
            "cancel": lambda runs, by: runs.cancel(run_id, by=by, owner=OWNER),
            "retry": lambda runs, by: runs.retry(run_id, RetryRequest(), by=by, owner=OWNER),
            "approve": lambda runs, by: runs.approve(run_id, by=by, owner=OWNER),
            "reject": lambda runs, by: runs.reject(run_id, by=by, owner=OWNER),
            "fork": lambda runs, _: self._fork(runs, run_id),
            "remove": lambda runs, _: self._remove(runs, run_id),
        }
        kind = self.chance.choice([*orders])
        by = next(self._names)
        answered = await self._answered(orders[kind], by)
        if answered and kind == "fork":
            self.run_ids.append(answered["run_id"])
        elif answered and not (kind == "cancel" and by not in givers(answered)):
            self.given[by] = run_id  # what is cancelled already is cancelled by somebody else

    async def _fork(self, runs: Runs, run_id: str) -> Record | None:
        page = await runs.history(run_id, owner=OWNER, limit=1)
        if not page["checkpoints"]:
            return None
        checkpoint_id = page["checkpoints"][0]["checkpoint_id"]
        return await runs.fork(run_id, checkpoint_id, Edits(), owner=OWNER)

    async def _remove(self, runs: Runs, run_id: str) -> None:
        await runs.remove(run_id, owner=OWNER)
        self.removed.add(run_id)

    async def _answered(self, order: Order, by: str = "") -> Record | None:
        """The record that an order was answered with; None where it was refused."""
        assert self.runs is not None
        try:
            return await order(self.runs, by)
        except (WrongStatus, RunNotFound, StorageUnavailable):
            return None


def givers(record: Record) -> list[str]:
    return [mark["by"] for mark in record["marks"] if mark["by"] != "server"]


async def _steadily(orders: Orders, runs: int) -> None:
    for _ in range(runs):
        await orders.start()
        for _ in range(orders.chance.randrange(3)):
            await orders.order()
            await asyncio.sleep(orders.chance.choice([0, 0, 0.002]))


async def _ended(runs: Runs, run_ids: list[str], removed: set[str]) -> dict[str, Record]:
    """The records of all runs that are there, once each has settled; what waits is cancelled."""
    found: dict[str, Record] = {}
    for run_id in run_ids:
        try:
            record = await runs.wait(run_id, timeout=patience(), owner=OWNER)
            if record["status"] == "waiting":
                record = await runs.cancel(run_id, by="the end", owner=OWNER)
        except RunNotFound:
            assert run_id in removed
            continue
        assert record["status"] in SETTLED
        found[run_id] = record
    return found


def _is_left(runs: Runs) -> bool:
    """Whether nothing is in the dictionary but the ended runs that were watched last."""
    return {live.run_id for live in runs._context.live} <= {*runs.broadcaster._kept}


@pytest.mark.parametrize(
    "many", [60, pytest.param(500, marks=pytest.mark.slow)], ids=["some", "many"]
)
async def test_orders_at_random_moments_have_one_winner_each_and_leave_nothing(
    tmp_path: Path, many: int
) -> None:
    """Beside kills: what was answered is stored, and every run comes to one end."""
    chance, gates = random.Random(7), Gates()
    orders = [Orders(name, random.Random(chance.random())) for name in "abcde"]
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        for generation in range(4):
            killed = generation < 3
            async with process(storage, gates, orderly=not killed) as runs:
                for one in orders:
                    one.runs = runs
                async with asyncio.TaskGroup() as group:
                    for one in orders:
                        group.create_task(_steadily(one, many // 20))
                if killed:
                    continue  # in the middle of what is executed
                removed = {run_id for one in orders for run_id in one.removed}
                ids = [run_id for one in orders for run_id in one.run_ids]
                records = await _ended(runs, ids, removed)
                await until(partial(_is_left, runs))
    marked = Counter(by for record in records.values() for by in givers(record))
    assert {times for by, times in marked.items() if by != "the end"} <= {1}
    for one in orders:
        assert all(by in marked or about in removed for by, about in one.given.items())
    assert len(records) + len(removed) == len(ids) >= many
