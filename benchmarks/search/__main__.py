"""`python -m benchmarks.search`: what a search takes among many runs, filter by filter."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.search.rows import ACCEPTED, OWNER, MakeRow, adverse_row, fill, usual_row
from graph.storage.open import open_storage
from graph.storage.search import Position, Search
from graph.storage.storage import RunIndex

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

#: What is worst for walking to a page in its order: all that matches is at the far end.
ADVERSE: Mapping[str, Search] = {
    "a word of all": Search(text="please"),
    "a word of all, longest first": Search(text="please", sort="duration"),
    "a rare status": Search(text="please", statuses=("cancelled",)),
    "a rare status, longest first": Search(text="please", statuses=("cancelled",), sort="duration"),
    "of the shortest, longest first": Search(text="todo", sort="duration"),
    "of the shortest, in the middle": Search(
        text="todo", sort="duration", after=Position(key=7.0, number=1)
    ),
    "of the shortest, shortest first": Search(text="todo", sort="duration", descending=False),
    "of the cheapest, dearest first": Search(text="todo", sort="cost"),
    "a tool of the shortest": Search(tool="todo_store.add", sort="duration"),
    "of the oldest": Search(text="old"),
    "of the oldest, longest first": Search(text="old", sort="duration"),
    "of the oldest, a tool without": Search(text="old", tool="other"),
    "of another's": Search(text="theirs"),
    "of another's, the oldest first": Search(text="theirs", descending=False),
    "of another's, longest first": Search(text="theirs", sort="duration"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40, help="searches for each figure")
    options = parser.parse_args()
    asyncio.run(measure(options.runs, options.times))


async def measure(runs: int, times: int) -> None:
    """Print, in milliseconds, what each search takes."""
    await _measure("as usual", SEARCHES, usual_row, runs, times)
    await _measure("at the far end", ADVERSE, adverse_row, runs, times)


async def _measure(
    title: str, searches: Mapping[str, Search], row: MakeRow, runs: int, times: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        async with open_storage(f"sqlite:///{path}") as storage:
            began = time.perf_counter()
            await fill(storage.index, runs, row)
            took = time.perf_counter() - began
            size = path.stat().st_size / runs
            print(f"{title}: {runs:,} runs accepted in {took:.1f} s, {size:.0f} B each")
            for name, search in searches.items():
                taken = [await search_once(storage.index, search) for _ in range(times)]
                p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
                print(f"{name:32} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms")


async def search_once(index: RunIndex, search: Search) -> float:
    """How long one page takes, in milliseconds."""
    began = time.perf_counter()
    await index.search(OWNER, search)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
