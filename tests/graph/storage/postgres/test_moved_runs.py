"""A grown SQLite installation is moved, and every run of it is what it was: `make soak-migration`.

MOVED_RUNS runs of a few owners: completed, failed, cancelled, waiting for a person, in threads, and
some that stand in the middle of a step when their process ends.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from graph.compose import open_runs
from graph.record.record import Record
from graph.service import Runs
from graph.settings import Settings
from graph.storage.open import move, open_storage
from graph.storage.search import Search
from tests.support.databases.postgres import PostgresServer
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import patience

RUNS = int(os.environ.get("MOVED_RUNS", "200"))
OWNERS, CLIENTS = ("ada", "bob", "default"), 24

pytestmark = [pytest.mark.slow, pytest.mark.timeout(patience(60 + RUNS / 5))]


@asynccontextmanager
async def installation(url: str, *, resume: bool = True) -> AsyncIterator[Runs]:
    settings = Settings(
        database_url=url,
        tools=tuple(GATE.split(",")),
        grace=0,
        retention=0,
        posts_per_minute=0,
        step_timeout=3600,
    )
    async with open_runs(settings, resume_unfinished=resume) as runs:
        yield runs


#: One in so many is in the middle of a step when the process ends.
UNFINISHED = 500


async def make(runs: Runs, number: int) -> None:
    """One run, of a kind that its number says, until it rests."""
    owner = OWNERS[number % len(OWNERS)]
    if number % UNFINISHED == 3:
        prompt = "add early to my list, then pass gate a, then add late to my list"
        await runs.start(prompt, owner=owner)
        return
    match number % 10:
        case 0:
            run = await runs.start("calculate 1 / 0", owner=owner)
        case 1:
            run = await runs.start(f"add item {number} to my list", owner=owner, approve="always")
        case 2:
            first = await runs.start(f"what is {number} + 1", owner=owner)
            run = await runs.start("what is 6 * 7", owner=owner, thread_id=first["run_id"])
        case 3:
            run = await runs.start("pass gate b", owner=owner)
            await runs.cancel(run["run_id"], by="me", owner=owner)
        case _:
            prompt = f"add item {number} to my list, then what is {number} * 2"
            run = await runs.start(prompt, owner=owner)
    rested = await runs.wait(run["run_id"], patience(), owner=owner)
    assert rested["status"] not in ("pending", "running")


async def grow(runs: Runs) -> None:
    """All of them."""
    rest = iter(range(RUNS))

    async def client() -> None:
        for number in rest:
            await make(runs, number)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def records(runs: Runs) -> Sequence[Record]:
    """What every owner is told of every run."""
    found: list[Record] = []
    for owner in OWNERS:
        cursor = None
        while True:
            page = await runs.search(owner, Search(limit=200), cursor)
            found += [await runs.get(one["run_id"], owner=owner) for one in page["runs"]]
            if (cursor := page["next_cursor"]) is None:
                break
    return found


async def to_dos(url: str) -> Sequence[object]:
    async with open_storage(url) as storage:
        found = [await storage.store.asearch(("todos", owner), limit=10**6) for owner in OWNERS]
    return sorted(str(item.value) for items in found for item in items)


async def test_every_run_of_a_grown_installation_is_what_it_was(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATES", str(tmp_path))
    source, url = f"sqlite:///{tmp_path}/runs.db", postgres.empty()
    async with installation(source) as runs:
        await grow(runs)
    async with installation(source, resume=False) as runs:
        before = await records(runs)
    things = await to_dos(source)
    began = time.perf_counter()
    moved = await move(source, url)
    seconds = time.perf_counter() - began
    assert moved.runs == len(before) > RUNS
    async with installation(url, resume=False) as runs:
        after = await records(runs)
    for one, other in zip(before, after, strict=True):
        assert one == other
    assert await to_dos(url) == things

    unfinished = [one for one in before if one["status"] in ("pending", "running")]
    assert len(unfinished) == len(range(3, RUNS, UNFINISHED))
    open_gate(tmp_path, "a")
    async with installation(url) as runs:
        for one in unfinished:
            ended = await runs.wait(one["run_id"], patience(), owner=one["owner"])
            assert ended["status"] == "completed"
    counted = Counter(one["status"] for one in before)
    size = (tmp_path / "runs.db").stat().st_size / 1e6
    sys.stdout.write(
        f"{moved.runs} runs ({dict(counted)}), {moved.checkpoints} checkpoints and {moved.stored}"
        f" things of a file of {size:.0f} MB were moved in {seconds:.1f} s\n"
    )
