"""`python -m benchmarks.search`: what a search takes among many runs, filter by filter."""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph.backends import open_storage
from graph.facts import Facts
from graph.index import RunIndex, RunRow
from graph.search import Position, Search
from graph.state import DEFAULT_LIMITS, Status

OWNER = "default"
ACCEPTED = 1_800_000_000.0

#: Every filter, every order, and what is worst for each: much that matches, little, or nothing.
SEARCHES: Mapping[str, Search] = {
    "the newest": Search(),
    "the second page": Search(after=Position(key=None, number=99_950)),
    "a page in the middle": Search(after=Position(key=None, number=50_000)),
    "status, rare": Search(statuses=("running",)),
    "two statuses": Search(statuses=("failed", "cancelled")),
    "a word of all": Search(text="please"),
    "a word, half of all": Search(text="todo"),
    "a word, one in 12": Search(text="list7"),
    "a word, one in 30": Search(text="page7"),
    "a word, one in 350": Search(text="word7"),
    "two words": Search(text="todo word7"),
    "a word and a status": Search(text="todo", statuses=("running",)),
    "a word, the oldest first": Search(text="todo", descending=False),
    "a word, second page": Search(text="todo", after=Position(key=None, number=99_900)),
    "a word, in the middle": Search(text="todo", after=Position(key=None, number=50_000)),
    "a word, longest first": Search(text="todo", sort="duration"),
    "a word of all, longest first": Search(text="please", sort="duration"),
    "a word, longest, in the middle": Search(
        text="todo", sort="duration", after=Position(key=5.0, number=1)
    ),
    "a word, cheapest first": Search(text="todo", sort="cost", descending=False),
    "a word and a tool without": Search(text="todo", tool="calculator"),
    "a word of all, retries, model": Search(text="please", min_retries=2, model="openai/gpt-3"),
    "a tool": Search(tool="calculator"),
    "a tool that nothing calls": Search(tool="other"),
    "planner": Search(planner="llm"),
    "model": Search(model="openai/gpt-3"),
    "a day": Search(created_from=ACCEPTED + 50_000, created_before=ACCEPTED + 136_400),
    "cost": Search(min_usd=0.009),
    "retries": Search(min_retries=2),
    "taken up": Search(taken_up=True),
    "longest first": Search(sort="duration"),
    "longest first, in the middle": Search(sort="duration", after=Position(key=5.0, number=1)),
    "dearest first, last page": Search(sort="cost", after=Position(key=None, number=40)),
    "all filters, dearest first": Search(
        tool="calculator",
        planner="llm",
        model="openai/gpt-3",
        created_from=ACCEPTED,
        created_before=ACCEPTED + 10**6,
        min_usd=0.001,
        max_retries=1,
        taken_up=False,
        sort="cost",
    ),
    "dearest first, failed": Search(sort="cost", statuses=("failed",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40, help="searches for each figure")
    options = parser.parse_args()
    asyncio.run(measure(options.runs, options.times))


async def measure(runs: int, times: int) -> None:
    """Print, in milliseconds, what each search takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        async with open_storage(f"sqlite:///{path}") as storage:
            began = time.perf_counter()
            await fill(storage.index, runs)
            took = time.perf_counter() - began
            print(
                f"{runs:,} runs accepted in {took:.1f} s, {path.stat().st_size / runs:.0f} B each"
            )
            for name, search in SEARCHES.items():
                taken = [await search_once(storage.index, search) for _ in range(times)]
                p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
                print(f"{name:32} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms")


async def search_once(index: RunIndex, search: Search) -> float:
    """How long one page takes, in milliseconds."""
    began = time.perf_counter()
    await index.search(OWNER, search)
    return (time.perf_counter() - began) * 1000


async def fill(index: RunIndex, runs: int) -> None:
    """Accept as many runs of one owner, as they are when they have ended."""
    chance = random.Random(1)
    for first in range(0, runs, 1000):
        numbers = range(first, min(first + 1000, runs))
        await asyncio.gather(*(index.accept(_row(number, chance)) for number in numbers))


def _row(number: int, chance: random.Random) -> RunRow:
    planned: dict[str, Any] = {"planner": "pattern", "usd": 0.0}
    if number % 3 == 0:
        model = f"openai/gpt-{chance.randrange(5)}"
        planned = {"planner": "llm", "model": model, "usd": chance.random() / 100}
    begin, tool = ("add todo", "todo_store.add") if number % 2 else ("calculate", "calculator")
    statuses: list[Status] = ["completed", "failed", "cancelled", "running"]
    [status] = chance.choices(statuses, [90, 7, 2.9, 0.1])
    accepted = ACCEPTED + number * 5
    facts = Facts(
        **planned,
        tools=(tool,),
        retries=chance.choice((0,) * 9 + (1, 2)),
        taken_up=int(chance.random() < 0.01),
    )
    return RunRow(
        run_id=f"{chance.getrandbits(128):032x}",
        owner=OWNER,
        prompt=" ".join(
            [
                f"please {begin} list{chance.randrange(12)} page{chance.randrange(30)}",
                *(f"word{chance.randrange(3000)}" for _ in range(8)),
            ]
        ),
        limits=DEFAULT_LIMITS,
        created_at=accepted,
        status=status,
        started_at=accepted,
        completed_at=None if status == "running" else accepted + chance.random() * 10,
        facts=facts,
    )


if __name__ == "__main__":
    main()
